//! What is to be run.

use std::sync::Arc;

use crate::Limits;
use crate::wire::record;

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
        Self { name: name.into(), text: text.into() }
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
        [&self.params, &self.inputs, &self.item, &self.config, &self.run]
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
        Self { mode: Mode::Expression, ..Self::script(Source::new(name, text)) }
    }
}

/// What a guest reads its invocation from (`wire.rs`): its bytes, and the modules, of which the guest gets those that
/// it requires.
pub(crate) struct GuestRecords {
    bytes: Vec<u8>,
    modules: Vec<Source>,
}

impl GuestRecords {
    /// A run.
    pub(crate) fn for_run(invocation: &Invocation, limits: &Limits) -> Self {
        let mut records = Self { bytes: Vec::new(), modules: invocation.modules.clone() };
        let entry = match invocation.mode {
            Mode::Script => record::SCRIPT,
            Mode::Expression => record::EXPRESSION,
        };
        records.push(entry, &invocation.entry.name, invocation.entry.text.as_bytes());
        for module in &invocation.modules {
            records.push(record::MODULE, &module.name, &[]);
        }
        let globals = &invocation.globals;
        let index = globals.index.map(|index| index.to_string().into());
        for (name, json) in [
            ("params", &globals.params),
            ("inputs", &globals.inputs),
            ("item", &globals.item),
            ("index", &index),
            ("config", &globals.config),
            ("run", &globals.run),
        ] {
            if let Some(json) = json {
                records.push(record::GLOBAL, name, json.as_bytes());
            }
        }
        records.push(record::SEED, "", &seed(&invocation.seed));
        records.memory(limits);
        records
    }

    /// A compilation.
    pub(crate) fn for_check(source: &Source, expression: bool, limits: &Limits) -> Self {
        let mut records = Self { bytes: Vec::new(), modules: Vec::new() };
        let tag = if expression { record::CHECK_EXPRESSION } else { record::CHECK_SCRIPT };
        records.push(tag, &source.name, source.text.as_bytes());
        records.push(record::SEED, "", &[0; 16]);
        records.memory(limits);
        records
    }

    /// The bytes, which the guest asks for once, and the modules.
    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<Source>) {
        (self.bytes, self.modules)
    }

    /// What Lua may allocate: three quarters of the linear memory, so that it collects garbage
    /// before it runs out of it.
    fn memory(&mut self, limits: &Limits) {
        self.push(record::MEMORY, "", &(limits.memory_bytes / 4 * 3).to_le_bytes());
    }

    fn push(&mut self, tag: u8, name: &str, text: &[u8]) {
        self.bytes.push(tag);
        self.field(name.as_bytes());
        self.field(text);
    }

    fn field(&mut self, bytes: &[u8]) {
        // Lengths are bounded by the limits on sources and inputs, far below 4 GiB.
        self.bytes.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

/// `math.random` takes 16 bytes of seed: the two halves of the given one, combined.
fn seed(seed: &[u8; 32]) -> [u8; 16] {
    std::array::from_fn(|index| seed[index] ^ seed[index + 16])
}
