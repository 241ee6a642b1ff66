//! A step: of exactly one kind, with the fields that this kind has.

use super::{DocumentReader, MappingReader, NodeAt};
use crate::{
    NOT_YET, Step, StepKind,
    kind::{COMMON_FIELDS, KINDS, RESERVED_KINDS},
    pointer, suggest,
};

impl DocumentReader {
    pub(super) fn step(&mut self, at: NodeAt) -> Option<Step> {
        let of_kinds = || KINDS.iter().flat_map(|(_, fields)| fields.iter().copied());
        let kinds = KINDS.iter().map(|(kind, _)| *kind);
        let allowed: Vec<&str> = kinds.chain(COMMON_FIELDS).chain(of_kinds()).chain(RESERVED_KINDS).collect();
        let mut fields = self.fields(at, "a step", &allowed)?;
        let kind = self.kind(&mut fields);
        let inputs_schema = fields.take("inputs_schema").map(|at| self.json(at));
        let needs = fields.take("needs").map(|at| self.texts(at)).unwrap_or_default();
        let condition = fields.take("if").and_then(|at| self.text(at));
        let for_each = fields.take("for_each").and_then(|at| self.text(at));
        let max_parallel = fields.take("max_parallel").and_then(|at| self.count(&at));
        let when = fields.take("when").and_then(|at| self.choice(at, &["all_succeeded", "any_failed", "always"]));
        let continue_on_failure = fields.take("continue_on_failure").is_some_and(|at| self.boolean(&at));
        let config = fields.take("config").map(|at| self.config(at)).unwrap_or_default();
        let secrets = fields.take("secrets").map(|at| self.texts(at)).unwrap_or_default();
        let allow = fields.take("allow").and_then(|at| self.allow(at)).unwrap_or_default();
        let retry = fields.take("retry").and_then(|at| self.retry(at));
        let timeout = fields.take("timeout").and_then(|at| self.span(at));
        Some(Step {
            kind: kind?,
            inputs_schema,
            needs,
            condition,
            for_each,
            max_parallel,
            when: when.unwrap_or_default(),
            continue_on_failure,
            config,
            secrets,
            allow,
            retry,
            timeout,
        })
    }

    /// What the step does: one thing, with no field that belongs to another kind.
    fn kind(&mut self, fields: &mut MappingReader) -> Option<StepKind> {
        let names = || KINDS.iter().map(|(kind, _)| *kind).chain(RESERVED_KINDS);
        let given: Vec<&str> = names().filter(|name| fields.has(name)).collect();
        for reserved in given.iter().filter(|name| RESERVED_KINDS.contains(*name)) {
            let (pointer, place) = (pointer::member(&fields.pointer, reserved), fields.place_of(reserved));
            self.error(&pointer, place, NOT_YET);
        }
        let [name] = given[..] else {
            let (pointer, place) = (fields.pointer.clone(), fields.place);
            let detail = if given.is_empty() {
                "the step does nothing; name its `script`, or how long it is to `sleep`".to_owned()
            } else {
                format!("a step is one thing only; this has {}; keep one of them", suggest::list(given))
            };
            self.error(&pointer, place, detail);
            return None;
        };
        let (_, own) = KINDS.iter().find(|(kind, _)| *kind == name)?;
        for (other, theirs) in KINDS {
            for field in theirs.iter().filter(|field| !own.contains(*field) && fields.has(field)) {
                let (pointer, place) = (pointer::member(&fields.pointer, field), fields.place_of(field));
                self.error(&pointer, place, format!("only allowed with `{other}`; this step has `{name}`"));
            }
        }
        let value = fields.take(name)?;
        match name {
            "script" => self.text(value).map(StepKind::Script),
            "sleep" => self.span(value).map(StepKind::Sleep),
            _ => None,
        }
    }
}
