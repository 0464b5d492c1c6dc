//! `product`: ggml's matrix product of one format, as a graph of that one operation on its CPU backend, on one thread. The
//! weights lie where llama.cpp would put them: repacked, if ggml has a repacked form for them on this CPU.
//!
//! Invariant: weights are only written to a buffer whose kind says that it runs the product; every graph is kept with
//! what it points into, and all of it is freed together.

use std::ffi::CStr;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use llama_cpp_sys_2 as sys;
use serde::{Deserialize, Serialize};

use crate::formats;
use crate::ggml::Type;
use crate::llama;
use crate::random::Random;

/// The shape of a product, and how it is measured.
#[derive(clap::Args, Clone)]
pub(crate) struct Shape {
    /// Columns, one product for each number.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 512], value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) columns: Vec<u32>,
    /// Length of a row and of a column.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    pub(crate) k: u32,
    /// Rows of the weights.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..1_000_000))]
    pub(crate) rows: u32,
    /// Copies of the weights that take turns: with many, they come from memory and not from the cache.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..1000))]
    pub(crate) copies: u32,
}

/// What was measured of one product.
#[derive(Serialize, Deserialize, Clone)]
pub(crate) struct Measured {
    pub(crate) columns: u32,
    /// Thousand million multiplications per second.
    pub(crate) gmacs: f64,
    /// Where ggml put the weights.
    pub(crate) buffer: String,
}

/// How long one of the samples, whose median is taken, should take.
const SAMPLE: Duration = Duration::from_millis(20);
const SAMPLES: usize = 5;

/// Measures the products of `format` and prints them as JSON.
pub(crate) fn print(format: &str, shape: &Shape) -> Result<()> {
    let format = Type::by_id(formats::number(format)?)?;
    // Its log would tell of each repacked tensor.
    llama::start();
    let mut all = Vec::new();
    for &columns in &shape.columns {
        let product = Product::new(&format, shape, columns)?;
        let seconds = product.time()?;
        let macs = f64::from(shape.k) * f64::from(shape.rows) * f64::from(columns);
        all.push(Measured { columns, gmacs: macs / seconds / 1e9, buffer: product.buffer.clone() });
    }
    println!("{}", serde_json::to_string(&all)?);
    Ok(())
}

/// A product that can be run again and again.
struct Product {
    backend: NonNull<sys::ggml_backend>,
    /// The weights' tensors, and behind it their memory.
    weights: Memory,
    /// The columns', the results' and the graphs'.
    work: Memory,
    graphs: Vec<*mut sys::ggml_cgraph>,
    /// The name of the kind of buffer that the weights are in.
    buffer: String,
}

/// Descriptions of tensors, and the buffer with their data.
struct Memory {
    context: NonNull<sys::ggml_context>,
    buffer: *mut sys::ggml_backend_buffer,
}

impl Memory {
    fn new(tensors: usize, graphs: usize) -> Result<Self> {
        // SAFETY: both functions only add up constants.
        let bytes = unsafe { sys::ggml_tensor_overhead() * tensors + sys::ggml_graph_overhead() * graphs };
        let options =
            sys::ggml_init_params { mem_size: bytes, mem_buffer: std::ptr::null_mut(), no_alloc: true };
        // SAFETY: without a buffer of ours ggml makes its own, of the size that is passed.
        let context = NonNull::new(unsafe { sys::ggml_init(options) }).context("ggml has no memory")?;
        Ok(Self { context, buffer: std::ptr::null_mut() })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this type owns both; a null buffer is let be.
        unsafe {
            sys::ggml_backend_buffer_free(self.buffer);
            sys::ggml_free(self.context.as_ptr());
        }
    }
}

impl Product {
    fn new(format: &Type, shape: &Shape, columns: u32) -> Result<Self> {
        // SAFETY: the function takes nothing, and the CPU's registry has a device 0.
        let (registry, device) = unsafe {
            let registry = sys::ggml_backend_cpu_reg();
            (registry, sys::ggml_backend_reg_dev_get(registry, 0))
        };
        for kind in kinds(registry, device)? {
            // SAFETY: the function takes nothing.
            let backend = NonNull::new(unsafe { sys::ggml_backend_cpu_init() });
            let mut product = Self {
                backend: backend.context("ggml has no CPU backend")?,
                weights: Memory::new(shape.copies as usize, 0)?,
                work: Memory::new(2 * shape.copies as usize, shape.copies as usize)?,
                graphs: Vec::new(),
                // SAFETY: a kind of buffer has a static name.
                buffer: unsafe { CStr::from_ptr(sys::ggml_backend_buft_name(kind)) }
                    .to_string_lossy()
                    .into_owned(),
            };
            if product.fill(format, shape, columns, kind, device)? {
                // SAFETY: the backend is open.
                unsafe { sys::ggml_backend_cpu_set_n_threads(product.backend.as_ptr(), 1) };
                return Ok(product);
            }
        }
        anyhow::bail!("ggml multiplies type {} in no buffer", format.id)
    }

    /// Makes the tensors with the weights in a buffer of `kind`; false if products with them do not run from there.
    fn fill(
        &mut self,
        format: &Type,
        shape: &Shape,
        columns: u32,
        kind: sys::ggml_backend_buffer_type_t,
        device: sys::ggml_backend_dev_t,
    ) -> Result<bool> {
        let (k, rows) = (i64::from(shape.k), i64::from(shape.rows));
        format.row_bytes(shape.k as usize)?;
        let (weights, work) = (self.weights.context.as_ptr(), self.work.context.as_ptr());
        // SAFETY: the contexts have room for these tensors and graphs (made so in `new`), and no data yet; the type comes
        // from ggml's table, and `k` is a whole number of its blocks (checked above).
        unsafe {
            let matrices: Vec<_> =
                (0..shape.copies).map(|_| sys::ggml_new_tensor_2d(weights, format.id, k, rows)).collect();
            self.weights.buffer = sys::ggml_backend_alloc_ctx_tensors_from_buft(weights, kind);
            ensure!(!self.weights.buffer.is_null(), "no memory for {} copies of the weights", shape.copies);
            let x = sys::ggml_new_tensor_2d(work, sys::GGML_TYPE_F32, k, i64::from(columns));
            let out: Vec<_> = matrices.iter().map(|&matrix| sys::ggml_mul_mat(work, matrix, x)).collect();
            self.work.buffer = sys::ggml_backend_alloc_ctx_tensors(work, self.backend.as_ptr());
            ensure!(!self.work.buffer.is_null(), "no memory for {columns} columns");
            if !sys::ggml_backend_dev_supports_op(device, out[0]) {
                return Ok(false);
            }
            let mut random = Random::new(1);
            let blocks = rows_of(format, shape, &mut random)?;
            for &matrix in &matrices {
                sys::ggml_backend_tensor_set(matrix, blocks.as_ptr().cast(), 0, blocks.len());
            }
            let values: Vec<f32> = (0..k * i64::from(columns)).map(|_| random.gaussian()).collect();
            sys::ggml_backend_tensor_set(x, values.as_ptr().cast(), 0, size_of_val(&values[..]));
            for &out in &out {
                let graph = sys::ggml_new_graph(work);
                sys::ggml_build_forward_expand(graph, out);
                self.graphs.push(graph);
            }
        }
        Ok(true)
    }

    /// The median seconds of one product.
    fn time(&self) -> Result<f64> {
        let mut next = self.graphs.iter().cycle();
        let mut run = || -> Result<()> {
            let graph = *next.next().context("no graph")?;
            // SAFETY: the graph and all that it points into belong to this value.
            let status = unsafe { sys::ggml_backend_graph_compute(self.backend.as_ptr(), graph) };
            ensure!(status == sys::GGML_STATUS_SUCCESS, "ggml failed with status {status}");
            Ok(())
        };
        // The first run warms up, the second tells how many make a sample.
        run()?;
        let start = Instant::now();
        run()?;
        let runs = (SAMPLE.as_secs_f64() / start.elapsed().as_secs_f64()).ceil().clamp(1.0, 1e6) as u32;
        let mut samples = Vec::new();
        for _ in 0..SAMPLES {
            let start = Instant::now();
            (0..runs).try_for_each(|_| run())?;
            samples.push(start.elapsed().as_secs_f64() / f64::from(runs));
        }
        samples.sort_by(f64::total_cmp);
        Ok(samples[SAMPLES / 2])
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        // SAFETY: this type owns the backend; the buffers, which go next, do not need it.
        unsafe { sys::ggml_backend_free(self.backend.as_ptr()) }
    }
}

/// The kinds of buffers that the weights may be in, the preferred ones first.
fn kinds(
    registry: sys::ggml_backend_reg_t,
    device: sys::ggml_backend_dev_t,
) -> Result<Vec<sys::ggml_backend_buffer_type_t>> {
    let mut all = Vec::new();
    let name = c"ggml_backend_dev_get_extra_bufts";
    // SAFETY: the name is a C string; what the registry has under it is a function of this type, or null.
    let extra: sys::ggml_backend_dev_get_extra_bufts_t =
        unsafe { std::mem::transmute(sys::ggml_backend_reg_get_proc_address(registry, name.as_ptr())) };
    if let Some(extra) = extra {
        // SAFETY: the function takes a device of its registry and returns a static list that ends with null.
        unsafe {
            let mut place = extra(device);
            while !place.is_null() && !(*place).is_null() {
                all.push(*place);
                place = place.add(1);
            }
        }
    }
    // SAFETY: the function takes nothing.
    all.push(unsafe { sys::ggml_backend_cpu_buffer_type() });
    Ok(all)
}

/// Random weights; the rows repeat after a while, since values make no difference.
fn rows_of(format: &Type, shape: &Shape, random: &mut Random) -> Result<Vec<u8>> {
    let mut drawn = Vec::new();
    for _ in 0..16 {
        let values: Vec<f32> = (0..shape.k).map(|_| random.gaussian()).collect();
        drawn.push(format.quantize(&values)?);
    }
    Ok(drawn.iter().cycle().take(shape.rows as usize).flatten().copied().collect())
}
