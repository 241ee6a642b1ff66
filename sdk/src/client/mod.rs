//! A typed async client.
