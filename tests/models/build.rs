//! Has the modelled files take the primitives of loom instead of those of `std`.

fn main() {
    println!("cargo:rustc-cfg=loom");
}
