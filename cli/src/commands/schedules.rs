//! `restroy schedules list|next|pause|resume`.

use clap::{Args, Subcommand};
use restroy_client::Client;
use restroy_sdk::{api::trigger::PipelineSchedule, ids::PipelineId};

use crate::{
    context::Context,
    failure::{Failure, Outcome},
    find, follow,
    output::{moment, print, table},
};

/// What is to be done with the schedules of a pipeline.
#[derive(Debug, Subcommand)]
pub(crate) enum SchedulesCommand {
    /// List a pipeline's schedules
    List(PipelineArgs),
    /// Show the next times at which a pipeline's schedules start runs
    #[command(after_help = "\
Examples:
  restroy schedules next Newsletter
  restroy schedules next Newsletter weekly -n 3")]
    Next {
        #[command(flatten)]
        of: PipelineArgs,
        /// Of this schedule only
        #[arg(value_name = "SCHEDULE")]
        name: Option<String>,
        /// How many
        #[arg(long, short = 'n', default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10))]
        limit: u32,
    },
    /// Pause a schedule: it starts no runs until it is resumed, whatever is published
    Pause(ScheduleArgs),
    /// Resume a paused schedule; times that passed meanwhile start no run
    Resume(ScheduleArgs),
}

/// A pipeline.
#[derive(Debug, Args)]
pub(crate) struct PipelineArgs {
    /// The pipeline: its name, its folder or its id
    #[arg(value_name = "NAME|DIR|ID")]
    pipeline: String,
    /// The board, where several have a pipeline of that name
    #[arg(long, value_name = "NAME")]
    board: Option<String>,
}

/// A schedule of a pipeline.
#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    #[command(flatten)]
    of: PipelineArgs,
    /// The schedule's name in the document
    #[arg(value_name = "SCHEDULE")]
    name: String,
}

impl PipelineArgs {
    async fn find(&self, client: &Client) -> Outcome<PipelineId> {
        Ok(find::pipeline(client, &self.pipeline, self.board.as_deref()).await?.id)
    }
}

/// Lists schedules, pauses or resumes one.
pub(crate) async fn schedules(context: &Context, command: &SchedulesCommand) -> Outcome {
    let client = context.client()?;
    match command {
        SchedulesCommand::List(of) => {
            let schedules = client.schedules(of.find(&client).await?).await?.items;
            context.show(&schedules, |schedules| list(schedules))
        }
        SchedulesCommand::Next { of, name, limit } => {
            let mut schedules = client.schedules(of.find(&client).await?).await?.items;
            if let Some(name) = name {
                schedules.retain(|schedule| schedule.name == *name);
                if schedules.is_empty() {
                    return Err(no_schedule(name));
                }
            }
            next(context, &schedules, *limit as usize)
        }
        SchedulesCommand::Pause(ScheduleArgs { of, name }) => {
            let pipeline = find_schedule(&client, of, name).await?;
            let schedule = client.pause_schedule(pipeline, name).await?;
            context.show(&schedule, |schedule| format!("schedule {} is paused", schedule.name))
        }
        SchedulesCommand::Resume(ScheduleArgs { of, name }) => {
            let pipeline = find_schedule(&client, of, name).await?;
            let schedule = client.resume_schedule(pipeline, name).await?;
            context.show(&schedule, |schedule| match schedule.next.first() {
                Some(next) => format!("schedule {} is enabled, next run {}", schedule.name, moment(*next)),
                None => format!("schedule {} is enabled", schedule.name),
            })
        }
    }
}

/// The pipeline, if it has the schedule.
async fn find_schedule(client: &Client, of: &PipelineArgs, name: &str) -> Outcome<PipelineId> {
    let pipeline = of.find(client).await?;
    if client.schedules(pipeline).await?.items.iter().any(|schedule| schedule.name == name) {
        return Ok(pipeline);
    }
    Err(no_schedule(name))
}

fn no_schedule(name: &str) -> Failure {
    Failure::new(format!("the published version has no schedule `{name}`"))
        .help("`restroy schedules list PIPELINE` lists them")
}

fn list(schedules: &[PipelineSchedule]) -> String {
    if schedules.is_empty() {
        return "the published version has no schedules".to_owned();
    }
    let rows = schedules.iter().map(|schedule| {
        let last = schedule.last_run.as_ref();
        [
            schedule.name.clone(),
            schedule.cron.clone(),
            schedule.timezone.clone(),
            schedule.paused_at.map_or_else(|| "enabled".to_owned(), |at| format!("paused since {}", moment(at))),
            last.map(|run| format!("{} {}", moment(run.due_at), follow::status_words(run.status.as_str())))
                .unwrap_or_default(),
            schedule.next.first().map(|next| moment(*next)).unwrap_or_default(),
        ]
    });
    table(["SCHEDULE", "CRON", "TIME ZONE", "STATE", "LAST RUN", "NEXT RUN"], rows)
}

/// The next times of all of them, in order.
fn next(context: &Context, schedules: &[PipelineSchedule], limit: usize) -> Outcome {
    let mut times: Vec<_> = schedules
        .iter()
        .flat_map(|schedule| schedule.next.iter().map(|time| (*time, schedule.name.as_str())))
        .collect();
    times.sort_unstable();
    times.truncate(limit);
    if context.json {
        let times: Vec<_> =
            times.iter().map(|(time, name)| serde_json::json!({ "schedule": name, "due_at": time })).collect();
        return context.show(&times, |_| String::new());
    }
    if times.is_empty() {
        print("no run is due");
        return Ok(());
    }
    print(&table(["DUE", "SCHEDULE"], times.into_iter().map(|(time, name)| [moment(time), name.to_owned()])));
    Ok(())
}
