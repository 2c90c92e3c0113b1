//! Passes a linker script on to the program's last step. Release builds name one (`cross/build`); others do without.

/// Its path. By a variable, since among rustc's own flags it would count for every crate, and the folder with it.
const VARIABLE: &str = "TIDEGATE_LINKER_SCRIPT";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    if let Ok(script) = std::env::var(VARIABLE) {
        println!("cargo::rerun-if-changed={script}");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{script}");
    }
}
