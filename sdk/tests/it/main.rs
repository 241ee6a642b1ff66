//! What the SDK promises, from outside.

mod document_check;
mod document_properties;
mod document_read;
