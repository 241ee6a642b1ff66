//! `restroy library`.

use std::path::Path;

use restroy_client::{Client, Error};
use restroy_sdk::{
    api::library::{LibrarySource, NewLibraryModule, PutLibraryModule},
    ids::TeamId,
    problem::{Problem, ProblemCode},
};

use crate::{
    args::{Library, LibraryAction},
    context::Context,
    failure::{Failure, Outcome},
    find, folder,
    output::{moment, print, table},
    style::clean,
};

/// Lists a team's modules, or changes them.
pub(crate) async fn library(context: &Context, args: &Library) -> Outcome {
    let client = context.client()?;
    let team = find::team(&client, args.team.as_deref()).await?;
    match &args.action {
        None => list(context, &client, team.id).await,
        Some(LibraryAction::Push { file, name, message }) => {
            let name = match name {
                Some(name) => name.clone(),
                None => named(file)?,
            };
            let source = folder::read_source(file)?;
            let made = push(&client, team.id, &name, source, message).await.map_err(|error| push_error(error, file))?;
            context.show(&made, |made| {
                let number = made.version.number;
                format!(
                    "{name}: version {number} in the library of {}\n  pin it: library: {{ {name}: {number} }}",
                    team.name
                )
            })
        }
        Some(LibraryAction::Show { name, version }) => {
            let found = match version {
                Some(number) => client.library_version(team.id, name, *number).await?,
                None => client.library_module(team.id, name).await?,
            };
            context.show(&found, |found| found.source.clone())
        }
        Some(LibraryAction::Remove { name }) => {
            client.delete_library_module(team.id, name).await?;
            print(&format!("{name}: removed"));
            Ok(())
        }
    }
}

async fn list(context: &Context, client: &Client, team: TeamId) -> Outcome {
    let modules = find::all(async |paging| client.library(team, &paging).await).await?;
    if context.json {
        return context.show(&modules, |_| String::new());
    }
    if modules.is_empty() {
        print("no modules yet");
        return Ok(());
    }
    let rows = modules
        .into_iter()
        .map(|module| [module.name, module.latest_version.to_string(), moment(module.updated_at), module.description]);
    print(&table(["MODULE", "VERSION", "CHANGED", ""], rows));
    Ok(())
}

/// A new version of the module, which is made when it is not there.
async fn push(
    client: &Client,
    team: TeamId,
    name: &str,
    source: String,
    message: &str,
) -> Result<LibrarySource, Error> {
    let put = PutLibraryModule { source, description: None, message: message.to_owned() };
    match client.put_library_module(team, name, &put).await {
        Err(Error::Problem(problem)) if problem.code == ProblemCode::NotFound => {}
        done => return done,
    }
    let new = NewLibraryModule {
        name: name.to_owned(),
        description: String::new(),
        source: put.source,
        message: message.to_owned(),
    };
    client.create_library_module(team, &new).await
}

/// The module's name as its file says it.
fn named(file: &Path) -> Outcome<String> {
    let name = file.file_stem().and_then(|name| name.to_str()).filter(|_| folder::is_lua(&file.to_string_lossy()));
    name.map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("{} is not a Lua file", file.display())).help(
            "name the module with \
            --name",
        )
    })
}

/// The server's errors, each at its line.
fn push_error(error: Error, file: &Path) -> Failure {
    let Some(Problem { code: ProblemCode::Invalid, errors, .. }) = error.problem().filter(|it| !it.errors.is_empty())
    else {
        return error.into();
    };
    let lines: Vec<String> = errors
        .iter()
        .map(|fault| {
            let place = match (fault.line, fault.column) {
                (Some(line), Some(column)) => format!("{}:{line}:{column}", file.display()),
                _ if fault.pointer == "/source" => file.display().to_string(),
                _ => fault.pointer.trim_start_matches('/').to_owned(),
            };
            format!("{place}: {}", clean(&fault.detail))
        })
        .collect();
    Failure::new("the module was not taken").details(lines.join("\n") + "\n")
}
