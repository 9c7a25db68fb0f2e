//! Writes the part of the corpus that is recorded: what the real server answers, and a real file.
//! `cargo run -p keepsync-fuzz --example record`, after the wire or the schema has changed.

#![allow(clippy::unwrap_used, reason = "a tool for developers")]

fn main() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, name, bytes) in keepsync_fuzz::record() {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}
