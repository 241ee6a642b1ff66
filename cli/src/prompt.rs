//! Asking the person at the terminal.

use std::{
    io::{self, IsTerminal as _, Read as _},
    path::Path,
};

use console::Term;

use crate::failure::{Failure, Outcome};

/// No password or secret is longer, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// Asks for a line.
pub(crate) fn line(question: &str, otherwise: &str) -> Outcome<String> {
    let term = terminal(question, otherwise)?;
    term.write_str(&format!("{question}: ")).and_then(|()| term.read_line()).map_err(|error| prompt_error(&error))
}

/// Asks for a line that is not shown as it is typed.
pub(crate) fn secret(question: &str, otherwise: &str) -> Outcome<String> {
    let term = terminal(question, otherwise)?;
    term.write_str(&format!("{question}: "))
        .and_then(|()| term.read_secure_line())
        .map_err(|error| prompt_error(&error))
}

/// The account's password: from standard input when that is asked for, from RESTROY_PASSWORD, or from whoever is at
/// the terminal; the latter twice where it is `new`.
pub(crate) fn password(from_stdin: bool, new: bool) -> Outcome<String> {
    if from_stdin {
        return stdin();
    }
    if let Some(password) = std::env::var("RESTROY_PASSWORD").ok().filter(|password| !password.is_empty()) {
        return Ok(password);
    }
    let otherwise = "give the password with --password-stdin or RESTROY_PASSWORD";
    let password = secret(if new { "New password" } else { "Password" }, otherwise)?;
    if new && secret("Repeat password", otherwise)? != password {
        return Err(Failure::usage("the two passwords differ"));
    }
    Ok(password)
}

/// Asks yes or no; whatever is not a yes is a no.
pub(crate) fn confirm(question: &str, otherwise: &str) -> Outcome<bool> {
    let answer = line(&format!("{question} [y/N]"), otherwise)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// What standard input holds, without the line break at its end.
pub(crate) fn stdin() -> Outcome<String> {
    let mut text = String::new();
    io::stdin()
        .take(MAX_SECRET)
        .read_to_string(&mut text)
        .map_err(|error| Failure::file("read", Path::new("standard input"), &error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Whether somebody can be asked.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn terminal(question: &str, otherwise: &str) -> Outcome<Term> {
    if is_interactive() {
        return Ok(Term::stderr());
    }
    Err(Failure::usage(format!("cannot prompt for `{question}`: stdin is not a terminal")).help(otherwise))
}

fn prompt_error(error: &io::Error) -> Failure {
    Failure::new(format!("no answer: {error}"))
}
