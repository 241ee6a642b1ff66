//! What was read of versions, which never change: kept for those who need it next. Bounded.

mod declarations;
mod versions;

pub(crate) use declarations::{DeclarationCache, EffectCapability};
pub(crate) use versions::VersionCache;
