//! References to secrets: what the host puts in, and what a script sees of them.

use std::sync::Arc;

use lua_wasm_host::{HttpRequest, Secrets};

use crate::support::{World, engine, script};

const VALUE: &str = "v4lue/with+\"signs\" & more";

async fn result(world: &Arc<World>, text: &str) -> String {
    let mut host_context = world.host_context();
    let mut secrets = Secrets::default();
    secrets.insert("OPEN", "readable");
    secrets.insert_usable_only("KEY", VALUE);
    host_context.secrets = Arc::new(secrets);
    match engine().run(script(text), host_context).await.result {
        Ok(json) => json,
        Err(error) => panic!("{text}\n{error:?}"),
    }
}

async fn sent(text: &str) -> HttpRequest {
    let world = Arc::new(World::default());
    result(&world, &format!("local key = secrets.ref('KEY') {text}")).await;
    let request = world.requests.lock().unwrap().pop().unwrap();
    // What journals and idempotency keys are made of has the name only.
    let records = world.records.lock().unwrap();
    assert!(!format!("{records:?}").contains("v4lue"), "{records:?}");
    request
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str()).unwrap()
}

#[tokio::test]
async fn a_request_carries_the_value_where_it_has_a_reference() {
    let request = sent(
        "http.post('https://api.example.com/echo', {
             headers = { ['X-Key'] = key, Authorization = secrets.ref('KEY', 'Bearer '), ['X-Open'] = secrets.ref('OPEN') },
             query = { key = key, list = { 'a', key }, plain = 'p' },
             json = { key = key, deep = { { secrets.ref('KEY', 'token ') } }, text = 'secret:KEY' },
         })",
    )
    .await;
    assert_eq!(header(&request, "X-Key"), VALUE);
    assert_eq!(header(&request, "Authorization"), format!("Bearer {VALUE}"));
    assert_eq!(header(&request, "X-Open"), "readable");
    let escaped = "v4lue%2Fwith%2B%22signs%22%20%26%20more";
    assert_eq!(request.url.query(), Some(format!("key={escaped}&list=a&list={escaped}&plain=p").as_str()));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    let expected = serde_json::json!({ "key": VALUE, "deep": [[format!("token {VALUE}")]], "text": "secret:KEY" });
    assert_eq!(body, expected);

    let request = sent("http.post('https://api.example.com/echo', { form = { key = key, other = '1' } })").await;
    assert_eq!(request.body, format!("key={escaped}&other=1").as_bytes());
}

#[tokio::test]
async fn a_reference_shows_its_name_wherever_else_it_goes() {
    let world = Arc::new(World::default());
    let text = "local key = secrets.ref('KEY', 'Bearer ')
        print(key, 'x ' .. key, key .. ' y') log.info(key) log.info('%s', key)
        kv.set('k', { key = key })
        return { key, tostring(key), json.encode({ key }), url.query({ k = key }), string.format('%s', key), key .. key,
                 type(getmetatable(key)), select(2, pcall(function() key.x = 1 end)):match('cannot be changed'), kv.get('k').key }";
    let shown = "Bearer secret:KEY";
    let expected = serde_json::json!([
        shown,
        shown,
        format!("[\"{shown}\"]"),
        "k=Bearer%20secret%3AKEY",
        shown,
        format!("{shown}{shown}"),
        "string",
        "cannot be changed",
        shown,
    ]);
    let value: serde_json::Value = serde_json::from_str(&result(&world, text).await).unwrap();
    assert_eq!(value, expected);
    // A table that is logged by itself is shown as JSON.
    assert_eq!(world.text(), [format!("{shown}\tx {shown}\t{shown} y"), format!("\"{shown}\""), shown.to_owned()]);
    assert!(!format!("{:?}", world.kv.lock().unwrap()).contains("v4lue"));
}

#[tokio::test]
async fn a_text_that_looks_like_a_reference_is_none() {
    let request = sent(
        "http.post('https://api.example.com/echo', { headers = { ['X-Key'] = 'secret:KEY', ['X-Text'] = 'a ' .. key },
             query = { k = 'secret:KEY' }, body = 'secret:KEY' .. key })",
    )
    .await;
    assert_eq!((header(&request, "X-Key"), header(&request, "X-Text")), ("secret:KEY", "a secret:KEY"));
    assert_eq!((request.url.query(), request.body.as_slice()), (Some("k=secret%3AKEY"), &b"secret:KEYsecret:KEY"[..]));
}

#[tokio::test]
async fn a_key_for_use_only_cannot_be_read_and_others_cannot_be_named() {
    let world = Arc::new(World::default());
    let text = "local function problem(f, ...) local ok, e = pcall(f, ...) return not ok and { e.code, e.message } end
        return { secrets.get('OPEN'), problem(secrets.get, 'KEY'), problem(secrets.ref, 'OTHER'), problem(secrets.get, 'OTHER'),
                 problem(function() http.get('https://api.example.com/json', { headers = { A = setmetatable({ key = 'OTHER' }, {}) } }) end) }";
    let value: serde_json::Value = serde_json::from_str(&result(&world, text).await).unwrap();
    assert_eq!((&value[0], &value[1][0]), (&"readable".into(), &"secret_usable_only".into()));
    assert!(value[1][1].as_str().unwrap().contains("secrets.ref(\"KEY\")"), "{value}");
    assert_eq!((&value[2][0], &value[3][0]), (&"not_granted".into(), &"not_granted".into()));
    assert!(value[2][1].as_str().unwrap().contains("name it in the step's `secrets`"), "{value}");
    // A table that is no reference is a header's text, as ever.
    assert_eq!(value[4], false);
    let requests = world.requests.lock().unwrap();
    assert!(header(&requests[0], "A").starts_with("table"), "{requests:?}");
}

#[tokio::test]
async fn a_message_is_authenticated_with_a_key_that_the_script_does_not_see() {
    let world = Arc::new(World::default());
    let text = "local function failed(...) return not pcall(crypto.hmac, ...) end
        return { crypto.hmac('sha256', secrets.ref('OPEN'), 'message') == crypto.hmac('sha256', 'readable', 'message'),
                 crypto.hmac('sha512', secrets.ref('OPEN'), 'm', 'raw') == crypto.hmac('sha512', 'readable', 'm', 'raw'),
                 #crypto.hmac('sha384', secrets.ref('KEY'), ''), failed('md5', secrets.ref('KEY'), ''),
                 failed('sha256', secrets.ref('KEY', 'x'), '') }";
    assert_eq!(result(&world, text).await, "[true,true,96,true,true]");
}

#[tokio::test]
async fn a_reference_has_no_place_in_a_host_or_path() {
    // The library gives it none, and a header has no line breaks, whatever a secret has.
    let world = Arc::new(World::default());
    let mut host_context = world.host_context();
    let mut secrets = Secrets::default();
    secrets.insert_usable_only("LINES", "one\r\nX-Other: two");
    host_context.secrets = Arc::new(secrets);
    let text =
        "local ok, e = pcall(http.get, 'https://api.example.com/json', { headers = { A = secrets.ref('LINES') } })
        return { ok, e.code, e.message }";
    let json = engine().run(script(text), host_context).await.result.unwrap();
    assert!(json.starts_with("[false,\"invalid_argument\"") && !json.contains("X-Other"), "{json}");
    assert!(world.requests.lock().unwrap().is_empty());
}
