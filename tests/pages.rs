//! Which pages of a file are read, and how large they are wanted: told by the kernel's own tables of this process's pages.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use bantam::{Format, Model};
use common::architectures::architectures;
use common::gguf::Gguf;
use common::session;
use common::tiny::{Tiny, number};

/// Bytes of a page, and of an entry of the table; the highest bit of an entry says that the page is there.
const PAGE: usize = 4096;
const ENTRY: usize = 8;

/// Where the file at `path` is mapped.
fn mapped(path: &str) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with(path)).expect("the model is mapped");
    usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap()
}

/// How many of the whole pages of these bytes of a mapping are there, and how many there could be.
fn present(start: usize, bytes: Range<usize>) -> (usize, usize) {
    let pages = (start + bytes.start).div_ceil(PAGE)..(start + bytes.end) / PAGE;
    let mut table = fs::File::open("/proc/self/pagemap").unwrap();
    table.seek(SeekFrom::Start((pages.start * ENTRY) as u64)).unwrap();
    let mut entries = vec![0; pages.len() * ENTRY];
    table.read_exact(&mut entries).unwrap();
    (entries.chunks_exact(ENTRY).filter(|entry| entry[7] & 0x80 != 0).count(), pages.len())
}

/// The ranges of addresses at which the file at `path` is mapped in pages that may be large.
fn large(path: &str) -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let address = |text: &str| usize::from_str_radix(text, 16).unwrap();
    let (mut ranges, mut range) = (Vec::new(), 0..0);
    for line in maps.lines() {
        let first = line.split(' ').next().unwrap();
        if let Some((start, end)) = first.split_once('-') {
            range = if line.ends_with(path) { address(start)..address(end) } else { 0..0 };
        } else if first == "VmFlags:" && !range.is_empty() && line.split(' ').any(|flag| flag == "hg") {
            ranges.push(range.clone());
        }
    }
    ranges
}

/// What every token is multiplied with, from its first page to its last; not the table of embeddings, of which it needs a row, nor experts.
#[test]
fn large_pages_are_for_what_every_token_needs() {
    if !fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
        println!("skipped: this kernel has no large pages");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dense = Tiny { dim: 256, ffn: 1024, tied: false, ..Tiny::new(Format::Q8_0) }.gguf();
    for (name, file) in [("dense", dense), ("experts", with_large_experts())] {
        let path = folder.path().join(name);
        fs::write(&path, file.write()).unwrap();
        let model = Model::open(&path).unwrap();
        let (start, large) = (mapped(path.to_str().unwrap()), large(path.to_str().unwrap()));
        let is_large = |name: &str| {
            let data = &model.file().tensors().find(|(other, _)| *other == name).expect(name).1.data;
            large.iter().any(|range| range.contains(&(start + (data.start + data.end) / 2)))
        };
        for name in ["blk.0.attn_q.weight", "blk.1.attn_output.weight"] {
            assert!(is_large(name), "{name}: {large:x?}");
        }
        match name {
            "dense" => assert!(is_large("output.weight") && !is_large("token_embd.weight")),
            _ => assert!(!is_large("blk.0.ffn_gate_exps.weight") && !is_large("blk.1.ffn_down_exps.weight")),
        }
    }
}

/// The qwen3moe of the other tests, with experts of 384 KB a matrix.
fn with_large_experts() -> Gguf {
    const WIDTH: usize = 1024;
    let mut file = architectures().into_iter().find(|variant| variant.name == "qwen3moe").unwrap().file;
    file.set("qwen3moe.expert_feed_forward_length", WIDTH as u32);
    let mut random = common::Random::new(3);
    for tensor in file.tensors.iter_mut().filter(|tensor| tensor.name.contains("_exps")) {
        let narrow = if tensor.name.contains("down") { 0 } else { 1 };
        tensor.shape[narrow] = WIDTH as u64;
        assert_eq!(tensor.kind, number(Format::F32));
        tensor.bytes = random.weights(Format::F32, tensor.shape.iter().product::<u64>() as usize);
    }
    file
}

/// Three experts of seven are chosen.
#[test]
fn only_the_chosen_experts_are_read() {
    let file = with_large_experts();
    // Memory that is a file, in pages of 4096 bytes: elsewhere the system may map megabytes around a page that is read.
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        println!("skipped: there is no /dev/shm");
        return;
    };
    let path = folder.path().join("experts.gguf");
    fs::write(&path, file.write()).unwrap();
    let model = Model::open(&path).unwrap();
    let start = mapped(path.to_str().unwrap());
    let mut session = session(&model, 2, 64, 16);
    let mut chosen = 0;
    // One token, then another: each may choose experts that were not read before.
    for (step, token) in [5, 6].into_iter().enumerate() {
        session.decode(token).unwrap();
        for (name, tensor) in model.file().tensors().filter(|(name, _)| name.contains("_exps")) {
            let each = tensor.data.len() / 7;
            let experts = (0..7).map(|expert| {
                let from = tensor.data.start + expert * each;
                let (there, all) = present(start, from..from + each);
                assert!(all > 90, "{all} pages of an expert");
                // The system maps up to 16 pages around one that is read.
                assert!(there == all || there <= 32, "{name}, expert {expert}: {there} of {all} pages");
                usize::from(there == all)
            });
            let read = experts.sum::<usize>();
            assert!(if step == 0 { read == 3 } else { (3..=6).contains(&read) }, "{name}: {read} experts");
            chosen += read;
        }
    }
    println!("{chosen} of {} were read", 2 * 9 * 7);
}
