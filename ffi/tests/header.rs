//! `include/bantam.h` is what cbindgen makes of the source, to the last byte, says of every function what its caller has to know, and is covered by the
//! wrappers. `make header` writes it anew.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::Builder::new().with_crate(root).with_config(config).generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let path = root.join("../include/bantam.h");
    if std::env::var_os("BANTAM_WRITE_HEADER").is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "include/bantam.h is not that of the source: run `make header`");
}

/// Every function of the header, with the comment before it.
fn functions() -> Vec<(String, String)> {
    let header = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/bantam.h"));
    let (mut all, mut comment) = (Vec::new(), String::new());
    for line in header.unwrap().lines() {
        if let Some(said) = line.strip_prefix("//") {
            comment += said;
            continue;
        }
        let name = line.find("bantam_").and_then(|_| {
            let (before, _) = line.split_once('(')?;
            let name = before.rsplit([' ', '*']).next()?;
            (name.starts_with("bantam_") && !line.starts_with([' ', '#']) && !line.starts_with("typedef"))
                .then(|| name.to_owned())
        });
        let comment = std::mem::take(&mut comment);
        all.extend(name.map(|name| (name, comment)));
    }
    all
}

#[test]
fn every_function_says_who_owns_what_on_which_threads_and_how_it_fails() {
    let functions = functions();
    assert!(functions.len() > 90, "{} functions", functions.len());
    for (name, comment) in functions {
        for word in ["Ownership: ", "Threads: ", "Errors: "] {
            assert!(comment.contains(word), "{name} does not say {word:?}:{comment}");
        }
    }
}

/// The text of all files in a folder.
fn text_of(folder: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn the_wrappers_leave_out_what_they_mean_to_leave_out() {
    // The guides say why of what an app could miss: allocators, executors, callbacks for pieces, a program's own panics.
    let neither = ["bantam_host_panic", "bantam_session_generate", "bantam_set_memory", "bantam_task_run"];
    // A task that is cancelled stops its call, with an object made anew for each; messages go over as JSON.
    let swift = ["bantam_cancel_is_set", "bantam_cancel_reset", "bantam_chat_add"];
    // An embedder is opened with the switch that it keeps; names of errors are there without the library.
    let kotlin = ["bantam_embedder_set_cancel", "bantam_status_name"];
    for (folder, own) in [("swift/Sources/Bantam", &swift[..]), ("kotlin/jni", &kotlin[..])] {
        let source = text_of(folder);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words: std::collections::BTreeSet<&str> = source.split(|c| !is_word(c)).collect();
        let functions = functions();
        let missing: std::collections::BTreeSet<&str> =
            functions.iter().map(|(name, _)| name.as_str()).filter(|name| !words.contains(name)).collect();
        assert_eq!(missing, neither.into_iter().chain(own.iter().copied()).collect(), "of {folder}");
    }
}
