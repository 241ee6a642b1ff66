//! `restroy boards`.

use restroy_sdk::api::{board::NewBoard, team::NewTeam};

use crate::{
    args::Boards,
    context::Context,
    failure::{Failure, Outcome},
    find, output,
};

/// Lists the boards, or makes one.
pub(crate) async fn boards(context: &Context, args: &Boards) -> Outcome {
    let client = context.client()?;
    if let Some(name) = &args.create {
        let teams = find::all(async |paging| client.teams(&paging).await).await?;
        let team = match &args.team {
            Some(wanted) => match teams.iter().find(|team| team.name == *wanted || team.id.to_string() == *wanted) {
                Some(team) => team.id,
                None => client.create_team(&NewTeam { name: wanted.clone() }).await?.id,
            },
            None => match teams.as_slice() {
                [team] => team.id,
                [] => return Err(Failure::usage(find::NO_TEAM).help("name one with --team: it is created")),
                several => {
                    let names: Vec<_> = several.iter().map(|team| team.name.as_str()).collect();
                    return Err(Failure::usage("you have several teams")
                        .help(format!("name one with --team: {}", names.join(", "))));
                }
            },
        };
        let board = client.create_board(team, &NewBoard { name: name.clone(), ..NewBoard::default() }).await?;
        return context.show(&board, |board| format!("board {} made ({})", board.name, board.id));
    }
    let boards = find::boards(&client).await?;
    if context.json {
        let boards: Vec<_> = boards.into_iter().map(|board| board.board).collect();
        return context.show(&boards, |_| String::new());
    }
    if boards.is_empty() {
        let (lack, command) = find::no_board(&client).await?;
        output::print(&context.next(lack, command));
        return Ok(());
    }
    let rows = boards.into_iter().map(|find::TeamBoard { team, board }| {
        let note = match (board.archived, board.private) {
            (true, true) => "archived, private",
            (true, false) => "archived",
            (false, true) => "private",
            (false, false) => "",
        };
        [board.name, team, note.to_owned(), board.id.to_string()]
    });
    output::print(&output::table(["BOARD", "TEAM", "", "ID"], rows));
    Ok(())
}
