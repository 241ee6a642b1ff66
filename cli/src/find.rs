//! Finding boards, pipelines, scripts and runs by what people call them.

use std::path::Path;

use restroy_client::{Client, Paging, Result as ClientResult};
use restroy_sdk::{
    api::{
        Page,
        board::Board,
        pipeline::Pipeline,
        script::Script,
        team::{Member, Team},
    },
    ids::{BoardId, PipelineId, TeamId},
};

use crate::{
    failure::{Failure, Outcome},
    folder::Folder,
};

/// How many names are reported to somebody whose name was none of them.
const SHOWN: usize = 30;
/// How many things of a list are looked at, at most: as many pipelines as a board can have.
const MOST: usize = 10_000;

/// What is said to somebody without a team.
pub(crate) const NO_TEAM: &str = "you have no team yet";
/// The command that makes somebody's first team and its first board.
pub(crate) const FIRST_BOARD: &str = "restroy boards --create Main --team NAME";

/// All pages of a list, up to ten thousand things.
pub(crate) async fn all<T, F>(mut page: impl FnMut(Paging) -> F) -> ClientResult<Vec<T>>
where
    F: Future<Output = ClientResult<Page<T>>>,
{
    let mut paging = Some(Paging::longest());
    let mut things = Vec::new();
    while let Some(wanted) = paging.filter(|_| things.len() < MOST) {
        let page = page(wanted.clone()).await?;
        paging = wanted.after(&page);
        things.extend(page.items);
    }
    Ok(things)
}

/// The team that is meant: by name or id, or the only one.
pub(crate) async fn team(client: &Client, wanted: Option<&str>) -> Outcome<Team> {
    let mut teams = all(async |paging| client.teams(&paging).await).await?;
    if let Some(wanted) = wanted {
        return one_team(teams, wanted);
    }
    match teams.len() {
        0 => Err(Failure::new(NO_TEAM).help(format!("`{FIRST_BOARD}` makes one, with its first board"))),
        1 => Ok(teams.remove(0)),
        _ => {
            let names: Vec<_> = teams.iter().map(|team| team.name.as_str()).collect();
            Err(Failure::usage("you have several teams").help(format!("name one: {}", names.join(", "))))
        }
    }
}

/// The team of some that is meant, by name or id.
pub(crate) fn one_team(teams: Vec<Team>, wanted: &str) -> Outcome<Team> {
    let names: Vec<_> = teams.iter().map(|team| team.name.clone()).collect();
    let fits = |team: &Team| team.id.to_string() == wanted || same_name(&team.name, wanted);
    find_one(teams, fits, |team| team.name == wanted).map_err(|found| match found {
        Match::None if names.is_empty() => Failure::new(format!("no team `{wanted}`; you have none")),
        Match::None => Failure::new(format!("no team `{wanted}`")).help(format!("the teams are {}", names.join(", "))),
        Match::Several(found) => Failure::usage(format!("several teams are called `{wanted}`")).help(format!(
            "name one by its id: {}",
            found.iter().map(|team| team.id.to_string()).collect::<Vec<_>>().join(", ")
        )),
    })
}

/// The member of a team that is meant: by address or id.
pub(crate) async fn member(client: &Client, team: TeamId, wanted: &str) -> Outcome<Member> {
    let members = all(async |paging| client.members(team, &paging).await).await?;
    let found = members
        .into_iter()
        .find(|member| member.email.eq_ignore_ascii_case(wanted) || member.user_id.to_string() == wanted);
    found.ok_or_else(|| {
        Failure::new(format!("nobody in the team has the address `{wanted}`"))
            .help("`restroy members` lists who is in it; invite others with `restroy members --invite`")
    })
}

/// A board and the name of its team.
#[derive(Debug, Clone)]
pub(crate) struct TeamBoard {
    /// The team's name.
    pub(crate) team: String,
    /// The board.
    pub(crate) board: Board,
}

/// What somebody lacks who has no board, and the command that makes one.
pub(crate) async fn no_board(client: &Client) -> Outcome<(&'static str, &'static str)> {
    Ok(match all(async |paging| client.teams(&paging).await).await?.len() {
        0 => (NO_TEAM, FIRST_BOARD),
        1 => ("there is no board yet", "restroy boards --create Main"),
        _ => ("there is no board yet", "restroy boards --create Main --team TEAM"),
    })
}

/// Every board that the person can see.
pub(crate) async fn boards(client: &Client) -> Outcome<Vec<TeamBoard>> {
    let mut boards = Vec::new();
    for team in all(async |paging| client.teams(&paging).await).await? {
        let of_team = all(async |paging| client.boards(team.id, &paging).await).await?;
        boards.extend(of_team.into_iter().map(|board| TeamBoard { team: team.name.clone(), board }));
    }
    Ok(boards)
}

/// The board that is meant: by name or id, or the only one.
pub(crate) async fn board(client: &Client, wanted: Option<&str>) -> Outcome<TeamBoard> {
    let boards = boards(client).await?;
    if boards.is_empty() {
        let (lack, command) = no_board(client).await?;
        return Err(Failure::new(lack).help(format!("make one with `{command}`")));
    }
    let Some(wanted) = wanted else {
        let mut open = boards.into_iter().filter(|board| !board.board.archived);
        return match (open.next(), open.next()) {
            (Some(board), None) => Ok(board),
            (None, _) => {
                Err(Failure::new("every board is archived").help("make one with `restroy boards --create NAME`"))
            }
            (Some(first), Some(second)) => {
                let names: Vec<_> = [first, second].into_iter().chain(open).map(|board| board.board.name).collect();
                Err(Failure::usage("there are several boards")
                    .help(format!("name one with --board: {}", names.join(", "))))
            }
        };
    };
    let names: Vec<_> = boards.iter().map(|board| board.board.name.clone()).collect();
    let fits = |board: &TeamBoard| board.board.id.to_string() == wanted || same_name(&board.board.name, wanted);
    find_one(boards, fits, |board| board.board.name == wanted).map_err(|found| match found {
        Match::None => {
            Failure::new(format!("no board `{wanted}`")).help(format!("the boards are {}", names.join(", ")))
        }
        Match::Several(found) => Failure::usage(format!("several boards are called `{wanted}`")).help(format!(
            "name one by its id: {}",
            found.iter().map(|board| format!("{} ({})", board.board.id, board.team)).collect::<Vec<_>>().join(", ")
        )),
    })
}

/// Every pipeline on the boards that the person can see, with the board's name.
pub(crate) async fn pipelines(client: &Client, board: Option<&str>) -> Outcome<Vec<(String, Pipeline)>> {
    let boards = match board {
        Some(_) => vec![self::board(client, board).await?],
        None => boards(client).await?,
    };
    let mut pipelines = Vec::new();
    for TeamBoard { board, .. } in boards {
        let on_board = all(async |paging| client.pipelines(board.id, &paging).await).await?;
        pipelines.extend(on_board.into_iter().map(|pipeline| (board.name.clone(), pipeline)));
    }
    Ok(pipelines)
}

/// The board's pipeline of exactly that name.
pub(crate) async fn on_board(client: &Client, board: BoardId, name: &str) -> Outcome<Option<Pipeline>> {
    let pipelines = all(async |paging| client.pipelines(board, &paging).await).await?;
    Ok(pipelines.into_iter().find(|pipeline| pipeline.name == name))
}

/// The pipeline that is meant: by id, by name, or by its folder.
pub(crate) async fn pipeline(client: &Client, wanted: &str, board: Option<&str>) -> Outcome<Pipeline> {
    if let Ok(id) = wanted.parse::<PipelineId>() {
        return Ok(client.pipeline(id).await?);
    }
    let from_folder;
    let mut name = wanted;
    let path = Path::new(wanted);
    let is_folder = Folder::is_one(path);
    if is_folder {
        let folder = Folder::read(path)?;
        let document = restroy_sdk::document::read_yaml(&folder.yaml).map_err(|faults| {
            Failure::silent(crate::failure::code::FAILED).details(crate::diagnostics::show(
                &faults,
                &folder,
                crate::style::Paint::stderr(),
            ))
        })?;
        from_folder = folder.name(&document)?;
        name = &from_folder;
    }
    let pipelines = pipelines(client, board).await?;
    let names: Vec<_> = pipelines.iter().map(|(_, pipeline)| pipeline.name.clone()).collect();
    let found =
        find_one(pipelines, |(_, pipeline)| same_name(&pipeline.name, name), |(_, pipeline)| pipeline.name == name);
    match found {
        Ok((_, pipeline)) => Ok(pipeline),
        Err(Match::None) => {
            let failure = Failure::new(format!("no pipeline `{name}`"));
            let shown = names.len().min(SHOWN);
            Err(match &names[..shown] {
                _ if is_folder => failure.help(format!("push it first: restroy push {wanted}")),
                [] => failure.help("there is none yet; push a folder with `restroy push DIR`"),
                shown if shown.len() < names.len() => {
                    failure.help(format!("there are {}, among them {}", names.len(), shown.join(", ")))
                }
                shown => failure.help(format!("the pipelines are {}", shown.join(", "))),
            })
        }
        Err(Match::Several(found)) => {
            Err(Failure::usage(format!("several pipelines are called `{name}`")).help(format!(
                "name the board with --board, or the pipeline by its id: {}",
                found
                    .iter()
                    .map(|(board, pipeline)| format!("{} (on {board})", pipeline.id))
                    .collect::<Vec<_>>()
                    .join(", ")
            )))
        }
    }
}

/// The script that is meant: by its path, its file's name with or without `.lua`, or its id.
pub(crate) async fn script(client: &Client, pipeline: &Pipeline, wanted: &str) -> Outcome<Script> {
    let scripts = all(async |paging| client.scripts(pipeline.id, &paging).await).await?;
    let scripts: Vec<_> = scripts.into_iter().filter(|script| script.current).collect();
    let paths: Vec<_> = scripts.iter().map(|script| script.path.clone()).collect();
    let found = find_one(
        scripts,
        |script| {
            let file = script.path.rsplit('/').next().unwrap_or_default();
            script.id.to_string() == wanted
                || file == wanted
                || file.strip_suffix(".lua") == Some(wanted)
                || script.path == wanted
        },
        |script| script.path == wanted,
    );
    found.map_err(|found| match found {
        Match::None if paths.is_empty() => {
            Failure::new(format!("`{}` has no scripts yet", pipeline.name)).help("push it with `restroy push DIR`")
        }
        Match::None => Failure::new(format!("`{}` has no script `{wanted}`", pipeline.name))
            .help(format!("its scripts are {}", paths.join(", "))),
        Match::Several(_) => Failure::usage(format!("several scripts match `{wanted}`")).help("write the whole path"),
    })
}

enum Match<T> {
    None,
    Several(Vec<T>),
}

/// The one that fits; when several do, the one that fits exactly.
fn find_one<T>(things: Vec<T>, fits: impl Fn(&T) -> bool, exactly: impl Fn(&T) -> bool) -> Result<T, Match<T>> {
    let mut fitting: Vec<_> = things.into_iter().filter(fits).collect();
    if fitting.iter().filter(|thing| exactly(thing)).count() == 1 {
        fitting.retain(exactly);
    }
    if fitting.len() > 1 {
        return Err(Match::Several(fitting));
    }
    fitting.pop().ok_or(Match::None)
}

/// Whether two names are the same to a person in a hurry: `dependency-audit` and `Dependency audit`.
fn same_name(one: &str, other: &str) -> bool {
    let plain = |name: &str| -> String {
        name.chars().map(|c| if matches!(c, '-' | '_') { ' ' } else { c }).flat_map(char::to_lowercase).collect()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_to_a_person_in_a_hurry() {
        assert!(same_name("Dependency audit", "dependency-audit"));
        assert!(same_name("a_b", "A b"));
        assert!(!same_name("ab", "a b"));
    }

    #[test]
    fn an_exact_name_goes_before_a_similar_one() {
        let pick = |wanted: &str| {
            super::find_one(vec!["Report", "report", "Other"], |name| same_name(name, wanted), |name| *name == wanted)
                .ok()
        };
        assert_eq!(pick("report"), Some("report"));
        assert_eq!(pick("REPORT"), None);
        assert_eq!(pick("other"), Some("Other"));
        assert_eq!(pick("none"), None);
    }
}
