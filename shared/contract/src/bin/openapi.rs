//! Writes `openapi.json` at the root of the checkout (`make openapi`).

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi.json"));
    fs::write(file, format!("{:#}\n", contract::document()))
}
