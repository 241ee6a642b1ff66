//! `restroy exec`.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use lua_wasm_host::{
    Globals, Grants, HostContext, Invocation, Limits, Outcome as Ran, Secrets, Source, StepError, Usage,
};
use restroy_executor::{HttpPolicy, OutboundHttp};
use restroy_sdk::{
    origin::{InvalidOrigin, Origin},
    time::Ambient,
};
use serde_json::{Value, json};

use crate::{
    args::Exec,
    context::json,
    engine::engine,
    failure::{Failure, Outcome, code},
    folder::{is_lua, read_source, read_text},
    output::{bytes, grouped, print},
    scratch::{LocalHttp, MemoryFiles, MemoryKv, MemoryMail, SystemAmbient, TerminalSink},
    style::{Paint, clean, clean_lines},
};

/// Runs one script on the spot.
pub(crate) async fn exec(as_json: bool, args: &Exec) -> Outcome {
    // Once: what a pipe gives cannot be read again.
    let config = pairs(&args.config)?;
    let invocation = invocation(args, &config)?;
    let host_context = host_context(as_json, args, &config)?;
    let cancel = host_context.cancel.clone();
    let engine = engine().await?;
    let running = engine.run(invocation, host_context);
    tokio::pin!(running);
    let mut interrupted = false;
    let ran = tokio::select! {
        ran = &mut running => ran,
        _ = tokio::signal::ctrl_c() => {
            interrupted = true;
            cancel.cancel();
            running.await
        }
    };
    show(as_json, &ran).map_err(|failure| if interrupted { failure.with_code(code::INTERRUPTED) } else { failure })
}

fn invocation(args: &Exec, config: &BTreeMap<&str, String>) -> Outcome<Invocation> {
    let name = args.script.file_name().and_then(|name| name.to_str()).unwrap_or("script.lua");
    let entry = Source::new(name, read_source(&args.script)?);
    let mut invocation = Invocation { modules: sibling_modules(&args.script, name)?, ..Invocation::script(entry) };
    invocation.globals = Globals {
        params: Some(json_argument("params", args.params.as_deref(), "{}")?),
        inputs: Some(json_argument("input", args.input.as_deref(), "{}")?),
        item: args.item.as_deref().map(|item| json_argument("item", Some(item), "null")).transpose()?,
        index: args.item.as_ref().map(|_| 1),
        config: Some(json(config)?.into()),
        run: Some(json!({"id": null, "retry": 0, "pipeline": null, "step": name}).to_string().into()),
    };
    // The inputs of a step can be large; here they come from the person's own files.
    invocation.limits = Limits {
        input_bytes: Limits::HARD_MAX.input_bytes,
        fuel: args.fuel.unwrap_or(Limits::DEFAULT.fuel),
        ..Limits::DEFAULT
    };
    invocation.seed = Ambient::system().random();
    Ok(invocation)
}

/// JSON from the command line, or with `@` from a file.
fn json_argument(what: &str, text: Option<&str>, otherwise: &str) -> Outcome<Arc<str>> {
    let Some(text) = text else { return Ok(otherwise.into()) };
    let from_file;
    let text = match text.strip_prefix('@') {
        Some(path) => {
            from_file = read_source(Path::new(path))?;
            &from_file
        }
        None => text,
    };
    // As a value: half of a surrogate pair, a number beyond a double's range or 128 levels pass as text.
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(_) => Ok(text.into()),
        Err(error) => Err(Failure::usage(format!("--{what} is not JSON: {error}"))
            .help(format!("write it such as --{what} '{{\"n\": 7}}', or --{what} @file.json"))),
    }
}

/// Keys and values from the command line, or with `@` from files.
fn pairs(given: &[String]) -> Outcome<BTreeMap<&str, String>> {
    let mut pairs = BTreeMap::new();
    for pair in given {
        let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
            Failure::usage(format!("`{pair}` is not a key and a value")).help("write --config KEY=VALUE")
        })?;
        let value = match value.strip_prefix('@') {
            Some(path) => read_text(Path::new(path))?,
            None => value.to_owned(),
        };
        pairs.insert(key, value);
    }
    Ok(pairs)
}

/// The Lua files beside the script, for `require`.
fn sibling_modules(script: &Path, name: &str) -> Outcome<Vec<Source>> {
    let folder = script.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| Failure::file("read", folder, &error);
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let file = entry.file_name();
        let Some(file) = file.to_str().filter(|file| is_lua(file) && *file != name) else { continue };
        // What is too long for a module is not one; the script is still run.
        let length = entry.metadata().map_err(failed)?.len();
        if entry.file_type().map_err(failed)?.is_file() && length <= Limits::DEFAULT.source_bytes {
            sources.push(Source::new(file, read_source(&entry.path())?));
        }
    }
    sources.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(sources)
}

fn host_context(as_json: bool, args: &Exec, config: &BTreeMap<&str, String>) -> Outcome<HostContext> {
    let ambient = Ambient::system();
    let surroundings = Arc::new(SystemAmbient(ambient.clone()));
    let paint = if as_json { Paint::stderr() } else { Paint::stdout() };
    let sink = Arc::new(TerminalSink { on_stderr: as_json, paint });
    let mut host_context = HostContext::new(surroundings.clone(), surroundings, sink);
    let http: Vec<Origin> = args
        .allow_http
        .iter()
        .map(|origin| origin.parse().map_err(|error: InvalidOrigin| Failure::usage(error.to_string())))
        .collect::<Outcome<_>>()?;
    if !http.is_empty() {
        let allow_loopback = args.allow_http.iter().any(|origin| origin.starts_with("http://"));
        let outbound = OutboundHttp::new(HttpPolicy { allow_loopback, ..HttpPolicy::default() })
            .map_err(|error| Failure::new(format!("cannot set up TLS: {error}")))?;
        host_context.http = Some(Arc::new(LocalHttp { outbound, ambient: ambient.clone() }));
    }
    host_context.grants = Grants { http, kv: true, email: true, files: true };
    // There is nobody to tell secrets from plain values: each can be used by reference.
    let mut secrets = Secrets::default();
    for (key, value) in config {
        secrets.insert(*key, value);
    }
    host_context.secrets = Arc::new(secrets);
    host_context.kv = Some(Arc::new(MemoryKv::new(ambient.clone())));
    host_context.mail = Some(Arc::new(MemoryMail { ambient, paint: Paint::stderr() }));
    host_context.files = Some(Arc::new(MemoryFiles::new(Paint::stderr())));
    Ok(host_context)
}

fn show(as_json: bool, ran: &Ran) -> Outcome {
    if as_json {
        let result = ran.result.as_ref().map(|text| serde_json::from_str(text).unwrap_or(Value::Null));
        let (output, error) = match result {
            Ok(output) => (Some(output), None),
            Err(error) => (None, Some(error)),
        };
        print(&json(&json!({ "output": output, "error": error, "usage": ran.usage }))?);
    } else {
        let paint = Paint::stdout();
        if let Ok(result) = &ran.result {
            let value: Result<Value, _> = serde_json::from_str(result);
            let pretty = value.ok().and_then(|value| serde_json::to_string_pretty(&value).ok());
            print(&format!("{} {}", paint.green("=>"), clean_lines(pretty.as_deref().unwrap_or(result))));
        }
        eprintln!("{}", Paint::stderr().dim(&usage_line(&ran.usage)));
    }
    match &ran.result {
        Ok(_) => Ok(()),
        Err(_) if as_json => Err(Failure::silent(code::FAILED)),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: &StepError) -> Failure {
    let mut message = format!("{}: {}", error.code, clean_lines(&error.message));
    // Of a syntax error the message reports the place, of a failed call what its table reports.
    let call = call_code(error);
    if let Some(details) = error.details.as_ref().filter(|_| call.is_none() && error.code.as_str() != "syntax_error") {
        message += "\n  details: ";
        message += &clean(&details.to_string());
    }
    if let Some(traceback) = &error.traceback {
        message.push_str("\n  traceback:\n");
        message.push_str(&traceback.lines().map(|line| format!("    {}", clean(line))).collect::<Vec<_>>().join("\n"));
    }
    let failure = Failure::new(message);
    match call.unwrap_or(error.code.as_str()) {
        "fuel_exhausted" => failure.help("give more with --fuel, or let the script do less"),
        "not_granted" => failure.help("allow the address with --allow-http ORIGIN"),
        _ => failure,
    }
}

/// The code of the host call that failed, if that is what the error describes.
fn call_code(error: &StepError) -> Option<&str> {
    let details = error.details.as_ref()?;
    details.get("retryable")?;
    details.get("code")?.as_str()
}

/// What was used, on one line.
fn usage_line(usage: &Usage) -> String {
    format!(
        "fuel {}, {} ms, memory {}, {} host calls, {} in, {} out",
        grouped(usage.fuel),
        usage.wall_ms,
        bytes(usage.memory_peak),
        usage.host_calls,
        bytes(usage.bytes_in),
        bytes(usage.bytes_out)
    )
}
