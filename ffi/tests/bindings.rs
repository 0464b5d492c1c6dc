//! What bindgen reads in `include/bantam.h` is what the source declares: constants, callbacks, structs field by field, functions parameter by
//! parameter. Structs are `repr(C)` on this side and C's on the other, so equal fields lie at equal places. It takes libclang.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use quote::ToTokens;
use syn::{Expr, FnArg, Item, ReturnType, Type};

/// By name: what a declaration says, in words that do not depend on who wrote it.
type Declarations = BTreeMap<String, String>;

/// A type without the paths of its names and the names of a callback's parameters.
fn said(ty: &Type) -> String {
    match ty {
        Type::Path(path) => {
            let last = path.path.segments.last().unwrap();
            match &last.arguments {
                syn::PathArguments::AngleBracketed(inner) => {
                    let inner = inner.args.iter().map(|argument| match argument {
                        syn::GenericArgument::Type(ty) => said(ty),
                        other => other.to_token_stream().to_string(),
                    });
                    format!("{}<{}>", last.ident, inner.collect::<Vec<_>>().join(", "))
                }
                _ => last.ident.to_string(),
            }
        }
        Type::Ptr(pointer) => {
            format!("*{} {}", if pointer.mutability.is_some() { "mut" } else { "const" }, said(&pointer.elem))
        }
        Type::Array(array) => format!("[{}; {}]", said(&array.elem), value(&array.len)),
        Type::BareFn(function) => {
            let inputs: Vec<String> = function.inputs.iter().map(|input| said(&input.ty)).collect();
            format!("fn({}){}", inputs.join(", "), returned(&function.output))
        }
        other => panic!("{} is a type this test does not know", other.to_token_stream()),
    }
}

fn returned(output: &ReturnType) -> String {
    match output {
        ReturnType::Default => String::new(),
        // The header has no word for it.
        ReturnType::Type(_, ty) if matches!(**ty, Type::Never(_)) => String::new(),
        ReturnType::Type(_, ty) => format!(" -> {}", said(ty)),
    }
}

fn signature(signature: &syn::Signature) -> String {
    let inputs = signature.inputs.iter().map(|input| match input {
        FnArg::Typed(typed) => format!("{}: {}", typed.pat.to_token_stream(), said(&typed.ty)),
        FnArg::Receiver(_) => panic!("a method is no function of C"),
    });
    format!("fn({}){}", inputs.collect::<Vec<_>>().join(", "), returned(&signature.output))
}

/// The value of a constant that both write as a number.
fn value(expr: &Expr) -> String {
    match expr {
        Expr::Lit(lit) => match &lit.lit {
            syn::Lit::Int(number) => number.base10_digits().to_owned(),
            other => other.to_token_stream().to_string(),
        },
        Expr::Unary(negative) => format!("-{}", value(&negative.expr)),
        other => other.to_token_stream().to_string(),
    }
}

fn attribute(attributes: &[syn::Attribute], text: &str) -> bool {
    attributes.iter().any(|attribute| attribute.to_token_stream().to_string().contains(text))
}

/// Adds what a file declares for C.
fn declare(items: &[Item], all: &mut Declarations) {
    for item in items {
        let (name, says) = match item {
            Item::Const(constant) if constant.ident.to_string().starts_with("BANTAM_") => {
                (constant.ident.to_string(), value(&constant.expr))
            }
            Item::Type(alias) if alias.ident.to_string().starts_with("bantam_") => {
                (alias.ident.to_string(), said(&alias.ty))
            }
            Item::Struct(of)
                if of.ident.to_string().starts_with("bantam_") && attribute(&of.attrs, "repr (C") =>
            {
                let fields = of
                    .fields
                    .iter()
                    .map(|field| format!("{}: {}", field.ident.to_token_stream(), said(&field.ty)));
                let fields: Vec<String> = fields.collect();
                // A type of which only the name is known.
                if fields == ["_unused: [u8; 0]"] {
                    continue;
                }
                (of.ident.to_string(), fields.join(", "))
            }
            Item::Fn(function) if attribute(&function.attrs, "no_mangle") => {
                (function.sig.ident.to_string(), signature(&function.sig))
            }
            Item::ForeignMod(foreign) => {
                for item in &foreign.items {
                    if let syn::ForeignItem::Fn(function) = item {
                        all.insert(function.sig.ident.to_string(), signature(&function.sig));
                    }
                }
                continue;
            }
            _ => continue,
        };
        all.insert(name, says);
    }
}

/// What the crate declares, as far as it is public.
fn source(root: &Path) -> Declarations {
    let mut all = Declarations::new();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join("src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        declare(&syn::parse_file(&text).unwrap().items, &mut all);
    }
    // Lengths of arrays by name, which the header has as well, and clang tells as numbers.
    let constants: Vec<(String, String)> = all
        .iter()
        .filter(|(name, _)| name.starts_with("BANTAM_"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    for says in all.values_mut() {
        for (name, number) in &constants {
            *says = says.replace(&format!("; {name}]"), &format!("; {number}]"));
        }
    }
    all
}

/// What clang reads in the header; None without libclang.
fn header(root: &Path) -> Option<String> {
    let mut builder = bindgen::Builder::default()
        .header(root.join("../include/bantam.h").to_str().unwrap())
        .allowlist_item("(bantam|BANTAM)_.*");
    // libclang may be there without its own stddef.h; that of the C compiler does as well.
    if let Ok(told) = Command::new("cc").arg("-print-file-name=include").output() {
        builder = builder.clang_args(["-idirafter", String::from_utf8_lossy(&told.stdout).trim()]);
    }
    // It panics where it finds no libclang.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let has_clang = std::panic::catch_unwind(bindgen::clang_version).is_ok();
    std::panic::set_hook(hook);
    has_clang.then(|| builder.generate().unwrap().to_string())
}

#[test]
fn bindgen_reads_the_types_of_the_source() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(read) = header(root) else {
        assert!(std::env::var_os("CI").is_none(), "libclang is missing: install libclang1-14 or another one");
        println!("skipped: there is no libclang");
        return;
    };
    let (source, mut read_back) = (source(root), Declarations::new());
    declare(&syn::parse_file(&read).unwrap().items, &mut read_back);
    let mut wrong = Vec::new();
    for (name, says) in &read_back {
        match source.get(name) {
            Some(declared) if declared == says => {}
            // SIZE_MAX, of which clang says that all bits are set.
            Some(declared) if declared == "usize :: MAX" && says == "-1" => {}
            declared => wrong.push(format!("{name}\n  header: {says}\n  source: {declared:?}")),
        }
    }
    assert!(wrong.is_empty(), "the header is not what the source declares:\n{}", wrong.join("\n"));
    let missing: Vec<&String> = source.keys().filter(|name| !read_back.contains_key(*name)).collect();
    assert!(missing.is_empty(), "these are not in the header: {missing:?}");
    let structs = read.matches("[\"Size of ").count();
    println!("{} declarations, {structs} of them structs, are the same", read_back.len());
}
