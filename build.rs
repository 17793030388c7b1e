//! Builds again what holds the panel when the panel was built again.

fn main() {
    // A debug build reads the panel's files while it runs.
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    println!("cargo::rerun-if-changed={}", if is_release { "panel/dist" } else { "build.rs" });
}
