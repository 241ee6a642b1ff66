//! What is to be run.

use std::sync::Arc;

use crate::Limits;

/// One source text. Cheap to clone: an executor keeps the sources of a version and hands them to
/// every run of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name that errors and tracebacks show, and `require` finds modules by:
    /// `scripts/util.lua` answers to `require("util")`, `require("scripts.util")` and
    /// `require("scripts/util")`.
    pub name: Arc<str>,
    /// Lua source, UTF-8.
    pub text: Arc<str>,
}

impl Source {
    /// A source of this name and text.
    pub fn new(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }
}

/// The global variables of a run, each a JSON text; an absent one is nil in Lua.
#[derive(Debug, Clone, Default)]
pub struct Globals {
    /// What the run was started with.
    pub params: Option<Arc<str>>,
    /// By upstream step, what it returned.
    pub inputs: Option<Arc<str>>,
    /// The item of a `for_each`.
    pub item: Option<Arc<str>>,
    /// The item's number, from 1.
    pub index: Option<u64>,
    /// Configuration: an object of key to value, secrets included.
    pub config: Option<Arc<str>>,
    /// What the script may know of its run: `id`, `retry`, `pipeline`, `step`, `started_at`.
    pub run: Option<Arc<str>>,
}

impl Globals {
    /// All JSON together, bytes: what [`Limits::input_bytes`] bounds.
    pub fn bytes(&self) -> u64 {
        [
            &self.params,
            &self.inputs,
            &self.item,
            &self.config,
            &self.run,
        ]
        .into_iter()
        .flatten()
        .map(|json| json.len() as u64)
        .sum()
    }
}

/// How the entry source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A chunk: statements, whose `return` is the result.
    #[default]
    Script,
    /// One expression, whose value is the result (`if`, `for_each`).
    Expression,
}

/// One run of a script or an expression.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// What runs.
    pub entry: Source,
    /// What `require` can load.
    pub modules: Vec<Source>,
    /// The global variables.
    pub globals: Globals,
    /// What it may use. Lowered to [`Limits::HARD_MAX`] where it lies above.
    pub limits: Limits,
    /// Seeds `math.random`. The same seed gives the same numbers.
    pub seed: [u8; 32],
    /// Script or expression.
    pub mode: Mode,
}

impl Invocation {
    /// A script with no modules, no globals, default limits and an all-zero seed.
    pub fn script(entry: Source) -> Self {
        Self {
            entry,
            modules: Vec::new(),
            globals: Globals::default(),
            limits: Limits::default(),
            seed: [0; 32],
            mode: Mode::Script,
        }
    }

    /// The same for an expression. `name` is what errors call it (`steps.send.if`).
    pub fn expression(name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self {
            mode: Mode::Expression,
            ..Self::script(Source::new(name, text))
        }
    }
}
