//! The files of the model, as `cargo xtask ship-model` lists them.

/// Files of the model: path below its folder, and contents; sorted by path.
pub const FILES: &[(&str, &[u8])] = &[
    ("config.json", include_bytes!("../model/config.json")),
    ("ema.safetensors", include_bytes!("../model/ema.safetensors")),
    ("preparation.json", include_bytes!("../model/preparation.json")),
    ("run.json", include_bytes!("../model/run.json")),
    ("run.toml", include_bytes!("../model/run.toml")),
];
