//! In which order a list is read, and from which place on. Every order ends with the id, so that no two
//! things have the same place; where a list can be long, it has an index of its own.
//!
//! The statement of a list by name binds, in this order: `$1` whose list it is, `$2` and `$3` the id and name
//! of the place, `$4` the pattern of the name, `$5` how many rows; then what the list has of its own. That of
//! a list by age: `$1` whose list it is, `$2` the place, `$3` how many rows.

use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// By age or by name (byte by byte); `-` for the other way round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum SortOrder {
    /// The oldest first.
    #[default]
    #[serde(rename = "created_at")]
    Oldest,
    /// The newest first.
    #[serde(rename = "-created_at")]
    Newest,
    /// By name.
    #[serde(rename = "name")]
    Name,
    /// By name, from the end.
    #[serde(rename = "-name")]
    NameDown,
}

/// By age; `-` for the newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum AgeOrder {
    /// The oldest first.
    #[serde(rename = "created_at")]
    Oldest,
    /// The newest first.
    #[default]
    #[serde(rename = "-created_at")]
    Newest,
}

/// By key (byte by byte); `-` for the other way round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum KeyOrder {
    /// From the first.
    #[default]
    #[serde(rename = "key")]
    Up,
    /// From the last.
    #[serde(rename = "-key")]
    Down,
}

/// What of a list is read.
#[derive(Debug, Clone)]
pub struct ListSelection {
    /// In which order.
    pub order: SortOrder,
    /// After the thing of this id and name; from the first on when there is none.
    pub after: Option<(Uuid, String)>,
    /// Only what has this in its name, as a pattern of LIKE; see [`pattern`].
    pub name: Option<String>,
    /// At most so many.
    pub rows: i64,
}

impl ListSelection {
    /// The first so many, the oldest first.
    pub fn first(rows: i64) -> Self {
        Self { order: SortOrder::Oldest, after: None, name: None, rows }
    }

    /// The id of the place.
    pub fn id(&self) -> Option<Uuid> {
        self.after.as_ref().map(|(id, _)| *id)
    }

    /// The name of the place.
    pub fn place_name(&self) -> Option<&str> {
        self.after.as_ref().map(|(_, name)| name.as_str())
    }
}

/// The pattern of what has a text in it. ASCII letters match in either case, as far as both databases
/// agree about case.
pub fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c.to_ascii_lowercase());
    }
    pattern.push('%');
    pattern
}

/// The statement of a list by age: `SELECT … WHERE …`, completed.
#[macro_export]
macro_rules! by_age {
    ($age:expr, $id:literal, $select:expr) => {
        match $age {
            $crate::sort::AgeOrder::Oldest => {
                concat!($select, " AND ($2 IS NULL OR ", $id, " > $2) ORDER BY ", $id, " LIMIT $3")
            }
            $crate::sort::AgeOrder::Newest => {
                concat!($select, " AND ($2 IS NULL OR ", $id, " < $2) ORDER BY ", $id, " DESC LIMIT $3")
            }
        }
    };
}
pub use by_age;

/// The statement for an order: `SELECT … WHERE …`, completed.
#[macro_export]
macro_rules! by_order {
    ($order:expr, id: $id:literal, name: $name:literal, $select:expr) => {
        match $order {
            $crate::sort::SortOrder::Oldest => $crate::by_order!(@ $select, $name,
                " AND ($2 IS NULL OR ", $id, " > $2) AND ($3 IS NULL OR $3 = $3) ORDER BY ", $id),
            $crate::sort::SortOrder::Newest => $crate::by_order!(@ $select, $name,
                " AND ($2 IS NULL OR ", $id, " < $2) AND ($3 IS NULL OR $3 = $3) ORDER BY ", $id, " DESC"),
            $crate::sort::SortOrder::Name => $crate::by_order!(@ $select, $name,
                " AND ($2 IS NULL OR (", $name, ", ", $id, ") > ($3, $2)) ORDER BY ", $name, ", ", $id),
            $crate::sort::SortOrder::NameDown => $crate::by_order!(@ $select, $name,
                " AND ($2 IS NULL OR (", $name, ", ", $id, ") < ($3, $2)) ORDER BY ", $name, " DESC, ", $id, " DESC"),
        }
    };
    (@ $select:expr, $name:literal, $($part:literal),+) => {
        concat!($select, " AND ($4 IS NULL OR lower(", $name, ") LIKE $4 ESCAPE '\\')", $($part,)+ " LIMIT $5")
    };
}
pub use by_order;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_was_typed() {
        assert_eq!(pattern("50%_A\\b"), "%50\\%\\_a\\\\b%");
    }
}
