//! `GET /docs`: the OpenAPI document as a page to read. Whole in itself: nothing of it is fetched from
//! elsewhere, and it has no script; the content security policy lets nothing but its own style in.

mod view;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use minijinja::{AutoEscape, Environment, context, value::Serde};
use serde_json::Value;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");

/// The page, rendered once.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    page: Bytes,
    policy: String,
}

impl Reference {
    /// Of the whole document.
    pub(super) fn from_document(document: &Value) -> Self {
        let page = render(document).unwrap_or_else(|error| {
            tracing::error!(%error, "the reference of the API cannot be rendered");
            "The document itself is at /v1/openapi.json.".into()
        });
        let style = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'; sandbox"
        );
        Self { page: page.into(), policy }
    }
}

impl IntoResponse for Reference {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (header::CONTENT_SECURITY_POLICY, self.policy),
        ];
        (headers, self.page).into_response()
    }
}

fn render(document: &Value) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let template = environment.template_from_named_str("page.html", PAGE)?;
    // The policy names the style's hash: it goes in byte for byte.
    let style = minijinja::Value::from_safe_string(STYLE.into());
    template.render(context! { style, ..Serde(view::from_document(document)) })
}
