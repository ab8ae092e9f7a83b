//! The one end-to-end test binary is `it/main.rs`.
