//! No kernel reads or writes behind what it is given: weights may end with their file, on the last byte of a page, and
//! a load that reaches further kills the process. Here everything ends before a page that nobody may touch, so that
//! a failure of these tests is a signal, not a message.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;

use bantam_kernels::attention::{ATTEND_KEYS, AttendMut, Piece, Queries, wide_tokens};
use bantam_kernels::backend::RopePairs;
use bantam_kernels::{Backend, Columns, ColumnsMut, Format, KvFormat, Scales, SpreadMut, TileMut};

use crate::common::{Activations, Placed, Random};

properties! {
    products_stay_inside
    vectors_stay_inside
    attention_stays_inside
}

/// Values whose end is the end of a page, before one that may not be touched.
struct Guarded<T> {
    pages: *mut libc::c_void,
    pages_bytes: usize,
    start: *mut T,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Copy> Guarded<T> {
    fn new(values: &[T]) -> Guarded<T> {
        // SAFETY: sysconf only reads.
        let page_bytes = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page size");
        let open_bytes = size_of_val(values).next_multiple_of(page_bytes);
        let pages_bytes = open_bytes + page_bytes;
        // SAFETY: a new private mapping touches no other memory.
        let pages = unsafe {
            libc::mmap(
                ptr::null_mut(),
                pages_bytes,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANON,
                -1,
                0,
            )
        };
        assert_ne!(pages, libc::MAP_FAILED);
        if open_bytes > 0 {
            // SAFETY: these pages were just mapped, and the one behind them stays closed.
            let result = unsafe { libc::mprotect(pages, open_bytes, libc::PROT_READ | libc::PROT_WRITE) };
            assert_eq!(result, 0);
        }
        let start = pages.wrapping_byte_add(open_bytes - size_of_val(values)).cast::<T>();
        // SAFETY: the values fit between start and the closed page, which are aligned: pages are, and sizes of T too.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), start, values.len()) };
        Guarded { pages, pages_bytes, start, len: values.len(), values: PhantomData }
    }
}

impl<T> Deref for Guarded<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: new wrote len values at start, in pages that are open until the drop.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: new wrote len values at start, in pages that are open until the drop, and self is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: new mapped these pages, and no borrow of them outlives self.
        unsafe { libc::munmap(self.pages, self.pages_bytes) };
    }
}

fn products_stay_inside(backend: Backend) {
    let mut random = Random::new(1);
    for &format in Format::ALL {
        for (blocks, rows, n) in [(1, 1, 1), (3, 7, 4), (1, 33, 5), (2, 4, 16), (3, 35, 17), (1, 64, 50)] {
            let k = blocks * format.block_len().max(32);
            let weights = Guarded::new(&random.weights(format, k * rows));
            let x = Activations::random(&mut random, format, k, n);
            // A kernel gets the form that it wants, and nothing of the other.
            let [f32, d, s] = [&x.f32, &x.d, &x.s].map(|values| Guarded::new(values));
            let q = Guarded::new(&x.q);
            let columns = if format.wants_q8() {
                Columns { f32: &[], q: &q, d: &d, s: &s, ..x.columns() }
            } else {
                Columns { f32: &f32, ..x.columns() }
            };
            let mut out = Guarded::new(&vec![0.0; rows * n]);
            let mut tile = TileMut::new(&mut out, rows, n);
            backend.matmul(format, &weights, &columns, &mut tile, &mut Placed::scratch(backend, k));
            let mut values = Guarded::new(&vec![0.0; rows * k]);
            backend.dequantize(format, &weights, &mut values);
        }
    }
}

fn vectors_stay_inside(backend: Backend) {
    let mut random = Random::new(2);
    for n in 1..70 {
        let mut x = Guarded::new(&random.units(n));
        let y = Guarded::new(&random.units(n));
        let mut out = Guarded::new(&vec![0.0; n]);
        backend.rms_norm(&x, &y, 1e-5, &mut out);
        backend.store_kv(KvFormat::F16, &x, &mut Guarded::new(&vec![0; 2 * n]));
        let [mut max, mut sum, mut weighted] = [(); 3].map(|()| Guarded::new(&[0.0f32]));
        backend.scan(&x, 1.0, &mut SpreadMut { max: &mut max, sum: &mut sum, weighted: &mut weighted });
        backend.add(&mut x, &y);
        backend.silu_mul(&mut x, &y);
        let angles = Guarded::new(&vec![0.5; n / 2]);
        backend.rope(&mut x, n, &angles, &angles, RopePairs::Adjacent);
        backend.rope(&mut x, n, &angles, &angles, RopePairs::Halves);
    }
    for blocks in [1, 2, 3, 5] {
        let x = Guarded::new(&random.units(32 * blocks));
        let mut q = Guarded::new(&vec![0; 32 * blocks]);
        let (mut d, mut s) = (Guarded::new(&vec![0.0; blocks]), Guarded::new(&vec![0.0; 2 * blocks]));
        for scales in [Scales::Least, Scales::Powers] {
            backend.quantize_q8(&x, scales, &mut ColumnsMut { q: &mut q, d: &mut d, s: &mut s });
        }
    }
}

fn attention_stays_inside(backend: Backend) {
    let mut random = Random::new(3);
    for (group, dim, n) in [(1, 8, 1), (3, 40, 3), (4, 64, 9), (8, 128, 5), (3, 80, 31), (2, 96, 260)] {
        for &format in KvFormat::ALL {
            let Some(row_bytes) = format.row_bytes(dim) else { continue };
            let kept = random.weights(format.format(), n * dim);
            let run = &kept[..n.min(ATTEND_KEYS) * row_bytes];
            let (keys, values) = (Guarded::new(run), Guarded::new(run));
            let query = Guarded::new(&random.units(group * dim));
            let mut max = Guarded::new(&vec![f32::NEG_INFINITY; group]);
            let (mut sum, mut acc) = (Guarded::new(&vec![0.0; group]), Guarded::new(&vec![0.0; group * dim]));
            let mut state = AttendMut { max: &mut max, sum: &mut sum, acc: &mut acc };
            backend.attend(format, &query, &keys, &values, 0.1, &mut state);
            backend.store_kv(format, &query[..dim], &mut Guarded::new(&kept[..row_bytes]));

            let tokens = n.min(wide_tokens(group));
            let values = Guarded::new(&random.units(tokens * group * dim));
            let queries = Queries {
                values: &values,
                stride: group * dim,
                tokens,
                group,
                dim,
                score: 0.1.into(),
                window: 100,
                sinks: &[],
            };
            let (keys, values) = (Guarded::new(&kept), Guarded::new(&kept));
            let mut out = Guarded::new(&vec![0.0; tokens * group * dim]);
            let mut tile = TileMut::new(&mut out, group * dim, tokens);
            let mut scratch = Guarded::new(&vec![0.0; backend.attend_scratch(group, dim)]);
            backend.attend_wide(format, &queries, Piece::whole(n), &keys, &values, &mut tile, &mut scratch);
        }
    }
}
