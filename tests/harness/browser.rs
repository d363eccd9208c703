//! The browser that pages are looked at with.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Chromium, or what `COALMINE_CHROMIUM` names.
pub fn browser() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let named = std::env::var_os("COALMINE_CHROMIUM").map(PathBuf::from);
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&paths).collect();
        let candidates = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        named.into_iter().chain(candidates).find(|path| path.is_file()).unwrap_or_else(|| {
            panic!(
                "the tests of pages need Chromium and found none of {}; install it, on Debian or Ubuntu with `apt-get install \
                 chromium`, or name it in COALMINE_CHROMIUM",
                NAMES.join(", ")
            )
        })
    })
}
