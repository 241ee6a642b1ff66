//! Compiling what tenants wrote: each source in a turn of its team, so that a definition of many
//! sources does not hold up others, and all of a request within one budget of fuel.

use std::{collections::BTreeMap, path::Path};

use restroy_sdk::{
    ids::{Id, TeamId},
    problem::{FieldError, ProblemCode},
};

use crate::{
    error::{ApiError, ApiResult},
    ports::{CompileReport, CompilerUnavailable},
    state::AppState,
};

/// The fuel that compiling all sources and expressions of one request may take: some seconds of a
/// processor. Sources of 16 MiB as people write them take less.
pub(crate) const FUEL_PER_REQUEST: u64 = 4_000_000_000;

/// The fuel that a source may take however short it is, and for each of its bytes. What people write takes
/// a tenth; labels and jumps by the thousand take a third.
const FUEL_PER_SOURCE: u64 = 100_000_000;
const FUEL_PER_BYTE: u64 = 4_000;

/// The compiling of one request.
pub(crate) struct CompileBudget<'a> {
    state: &'a AppState,
    team: TeamId,
    fuel_left: u64,
}

impl<'a> CompileBudget<'a> {
    pub(crate) fn new(state: &'a AppState, team: TeamId) -> Self {
        Self { state, team, fuel_left: FUEL_PER_REQUEST }
    }

    /// Compiles the Lua files among these; errors name `/files/<path>`, line and column.
    pub(crate) async fn check_files(&mut self, files: &BTreeMap<String, String>) -> ApiResult<Vec<FieldError>> {
        let mut faults = Vec::new();
        let scripts = files.iter().filter(|(path, _)| Path::new(path).extension().is_some_and(|kind| kind == "lua"));
        for (path, source) in scripts {
            let turn = self.state.tenants.turn(self.team.uuid()).await?;
            let fuel = self.fuel_for(source);
            let compiled = self.state.compiler.check_file(path, source, fuel).await?;
            drop(turn);
            let pointer = format!("/files/{}", path.replace('~', "~0").replace('/', "~1"));
            faults.extend(self.charge(compiled, fuel).map(|fault| FieldError { pointer, ..fault }));
            if self.fuel_left == 0 {
                break;
            }
        }
        Ok(faults)
    }

    /// Compiles an expression of a document (`if`, `for_each`); the error has no pointer.
    pub(crate) async fn check_expression(&mut self, expression: &str) -> ApiResult<Option<FieldError>> {
        let turn = self.state.tenants.turn(self.team.uuid()).await?;
        let fuel = self.fuel_for(expression);
        let compiled = self.state.compiler.check_expression(expression, fuel).await?;
        drop(turn);
        Ok(self.charge(compiled, fuel))
    }

    fn fuel_for(&self, source: &str) -> u64 {
        let bytes = u64::try_from(source.len()).unwrap_or(u64::MAX);
        self.fuel_left.min(FUEL_PER_SOURCE.saturating_add(bytes.saturating_mul(FUEL_PER_BYTE)))
    }

    /// Counts what was used, and says so where it was all.
    fn charge(&mut self, compiled: CompileReport, of: u64) -> Option<FieldError> {
        self.fuel_left = self.fuel_left.saturating_sub(compiled.fuel);
        if compiled.fuel < of || compiled.fault.is_none() {
            return compiled.fault;
        }
        let detail = if self.fuel_left == 0 {
            format!(
                "compiling the sources takes more than {FUEL_PER_REQUEST} units of fuel (limit `compile_fuel`): make them \
                 shorter or simpler, or split the pipeline"
            )
        } else {
            format!(
                "compiling this takes more than {of} units of fuel (limit `compile_fuel`): make it shorter or simpler"
            )
        };
        Some(FieldError::new("", detail))
    }
}

impl From<CompilerUnavailable> for ApiError {
    fn from(error: CompilerUnavailable) -> Self {
        tracing::error!(%error, "scripts cannot be checked");
        Self::with(ProblemCode::Unavailable, "Script checks are temporarily unavailable. Try again.")
    }
}
