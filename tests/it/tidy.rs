//! The rules of the house that a compiler does not hold: who may know whom, and one word in five places.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of the workspace").to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below `dir`, relative to the root.
fn rust_files(dir: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(dir), &mut found);
    found.sort();
    found.into_iter().map(|path| path.strip_prefix(root()).expect("it is below the root").to_owned()).collect()
}

/// The part of a source file before its test module, without comments.
fn code(path: &Path) -> String {
    let text = read(path);
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn dependencies(member: &str, section: &str) -> BTreeSet<String> {
    let manifest = read(format!("{member}/Cargo.toml"));
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == format!("[{section}]");
        } else if inside && let Some((name, _)) = line.split_once('=') {
            names.insert(name.trim().trim_end_matches(".workspace").to_owned());
        }
    }
    names
}

#[test]
fn no_process_knows_another_and_the_sandbox_knows_nobody() {
    let members = ["api", "worker", "media", "shared", "sandbox"];
    for (member, may) in
        [("shared", &[][..]), ("sandbox", &[]), ("api", &["shared"]), ("worker", &["shared"]), ("media", &["shared"])]
    {
        let dependencies = dependencies(member, "dependencies");
        for other in members {
            assert!(
                !dependencies.contains(other) || may.contains(&other),
                "{member} must not depend on {other}: see the table of owners in the style"
            );
        }
    }
}

#[test]
fn versions_stand_once() {
    for member in ["api", "worker", "media", "shared", "sandbox", "tests"] {
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let manifest = read(format!("{member}/Cargo.toml"));
            let block = manifest.split(&format!("[{section}]\n")).nth(1).unwrap_or_default();
            for line in block.lines().take_while(|line| !line.starts_with('[')).filter(|line| line.contains('=')) {
                assert!(line.contains("workspace"), "{member}/Cargo.toml: `{line}` names a version of its own");
            }
        }
    }
}

#[test]
fn sql_lives_in_shared_and_that_of_the_job_tables_in_the_queue() {
    for member in ["api", "media", "worker"] {
        for file in rust_files(&format!("{member}/src")) {
            if file.starts_with("worker/src/queue") {
                continue;
            }
            let code = code(&file);
            for word in ["sqlx::query", "query!(", "query_as!(", "query_scalar!("] {
                assert!(!code.contains(word), "{} has SQL of its own ({word})", file.display());
            }
        }
    }
}

#[test]
fn what_decides_has_no_world_in_it() {
    let mut pure = rust_files("media/src/dialogue");
    pure.extend(rust_files("media/src/realtime/conversation"));
    pure.extend(
        [
            "api/src/twilio/gathered/course.rs",
            "api/src/twilio/gathered/language.rs",
            "api/src/twilio/gathered/request.rs",
            "media/src/realtime/wire.rs",
            "media/src/session/reservoir.rs",
            "shared/src/agent_tool.rs",
            "shared/src/calling_window.rs",
            "shared/src/consent.rs",
            "shared/src/forecast.rs",
            "shared/src/forecast/dice.rs",
            "shared/src/forecast/run.rs",
            "shared/src/forecast/timeline.rs",
            "shared/src/guard.rs",
            "shared/src/opt_out_words.rs",
            "shared/src/phrases.rs",
            "shared/src/answering_machine.rs",
            "shared/src/persona.rs",
            "shared/src/playbook.rs",
            "shared/src/playbook/greeting.rs",
            "shared/src/playbook/lines.rs",
            "shared/src/playbook/prompt.rs",
            "shared/src/retry_policy.rs",
            "shared/src/spoken.rs",
        ]
        .map(PathBuf::from),
    );
    for file in pure {
        let code = code(&file);
        for word in [
            "async fn",
            "async move",
            ".await;",
            ".await?",
            ".await.",
            "tokio::",
            "Instant::now",
            "Utc::now",
            "SystemTime",
            "rand::",
        ] {
            assert!(!code.contains(word), "{} contains `{word}`: it must decide from what it is told", file.display());
        }
    }
}

#[test]
fn a_job_is_one_word_everywhere() {
    let registry = read("worker/src/registry.rs");
    let payloads: Vec<String> = rust_files("shared/src/jobs")
        .iter()
        .filter_map(|file| file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned))
        .filter(|stem| stem != "mod")
        .collect();
    assert!(payloads.len() >= 8, "the payloads were not found: {payloads:?}");
    for job in payloads {
        let payload = read(format!("shared/src/jobs/{job}.rs"));
        let type_name: String =
            job.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect::<Vec<_>>().concat();
        assert!(
            payload.contains(&format!("struct {type_name}")),
            "shared/src/jobs/{job}.rs does not define {type_name}"
        );
        assert!(payload.contains(&format!("\"{job}\"")), "the queue of {type_name} is not called {job}");
        assert!(root().join(format!("worker/src/jobs/{job}.rs")).exists(), "worker/src/jobs/{job}.rs is missing");
        assert!(
            registry.contains(&type_name) || registry.contains(&job),
            "worker/src/registry.rs does not register {job}"
        );
    }
}

#[test]
fn the_example_environment_names_exactly_the_documented_variables() {
    let mut documented = BTreeSet::new();
    for member in ["api", "worker", "media", "shared"] {
        for file in rust_files(&format!("{member}/src")) {
            for piece in read(&file).split("env = \"").skip(1) {
                documented.insert(piece.split('"').next().unwrap_or_default().to_owned());
            }
        }
    }
    let example: BTreeSet<String> = read(".env.example")
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once('=').map(|(name, _)| name.to_owned()))
        .filter(|name| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
        })
        .collect();
    let missing: Vec<_> = documented.difference(&example).collect();
    let stale: Vec<_> = example.difference(&documented).collect();
    assert!(missing.is_empty() && stale.is_empty(), ".env.example lacks {missing:?} and names unknown {stale:?}");
}

#[test]
fn every_line_of_the_procfile_is_a_binary() {
    for line in read("Procfile").lines().filter(|line| !line.is_empty()) {
        let (_, command) = line.split_once(':').expect("a process and its command");
        let program = command.trim().rsplit('/').next().unwrap_or_default().split(' ').next().unwrap_or_default();
        assert!(root().join(format!("{program}/src/main.rs")).exists(), "Procfile: {line}: no binary {program}");
    }
}

#[test]
fn the_dialogue_and_every_other_file_can_be_read_in_one_sitting() {
    for member in ["api", "worker", "media", "shared", "sandbox"] {
        for file in rust_files(&format!("{member}/src")) {
            let lines = read(&file).split("#[cfg(test)]").next().unwrap_or_default().lines().count();
            assert!(lines <= 600, "{} has {lines} lines before its tests: split it by responsibility", file.display());
        }
    }
}
