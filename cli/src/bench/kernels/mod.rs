//! `bantam bench --kernels`: every kernel of every backend by itself, beside what the machine can do at most.
#![forbid(unsafe_code)]

mod buffers;
mod clock;
mod measure;

use bantam::{Backend, Format};
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::output;
use crate::progress::Progress;
use crate::units;
use measure::{Kernel, Machine, Measured, Product, WEIGHTS_MAX};

/// Which kernels, and on what.
#[derive(Args)]
#[group(skip)]
pub(super) struct Kernels {
    /// With --kernels: only these kernels
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', requires = "kernels",
        value_parser = PossibleValuesParser::new(Kernel::ALL.map(Kernel::name)))]
    only: Vec<String>,
    /// With --kernels: only these weight formats, and only kernels that depend on the format
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', requires = "kernels", ignore_case = true,
        value_parser = PossibleValuesParser::new(Format::ALL.iter().map(|format| format.name())))]
    format: Vec<String>,
    /// With --kernels: how many columns (tokens) a matrix is multiplied with
    #[arg(long, value_name = "N,..", value_delimiter = ',', requires = "kernels", default_value = "1,8,512",
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    columns: Vec<u32>,
    /// With --kernels: length of a row, and of the vectors; a multiple of 64. Formats of longer blocks need whole ones
    #[arg(long, value_name = "N", requires = "kernels", default_value_t = 2048, value_parser = row)]
    k: usize,
    /// With --kernels: rows of a matrix
    #[arg(long, value_name = "N", requires = "kernels", default_value_t = 2048,
        value_parser = clap::value_parser!(u32).range(1..=65536))]
    rows: u32,
    /// With --kernels: copies of a matrix that take turns; one stays in the cache [default: as many as no cache holds]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    copies: Option<u32>,
    /// With --kernels: count the quantising of the columns as a part of each product
    #[arg(long)]
    quantize: bool,
}

/// A length that is whole heads.
fn row(text: &str) -> std::result::Result<usize, &'static str> {
    match text.parse() {
        Ok(k @ 64..=65536) if k % 64 == 0 => Ok(k),
        _ => Err("a multiple of 64, up to 65536"),
    }
}

/// What is told; the names are the keys of the JSON.
#[derive(Serialize)]
struct Report {
    threads: usize,
    k: usize,
    rows: usize,
    backends: Vec<Ceilings>,
    kernels: Vec<Row>,
}

/// What the machine can do at most with a backend's instructions.
#[derive(Serialize)]
struct Ceilings {
    backend: &'static str,
    read_gbs: f64,
    multiply_gmacs: f64,
}

/// One kernel.
#[derive(Serialize)]
struct Row {
    backend: &'static str,
    kernel: &'static str,
    format: Option<&'static str>,
    columns: Option<usize>,
    /// The backend whose file the kernel comes from, where that is known.
    origin: Option<&'static str>,
    /// Bytes that it reads and writes; of a product, the weights alone.
    gbs: f64,
    /// Multiplications.
    gmacs: Option<f64>,
    /// The time that the machine needs at least, as a share of the time that the kernel took.
    ceiling_share: Option<f64>,
}

impl Kernels {
    /// Measures with `threads` threads, on the named backend or on all.
    pub(super) fn execute(&self, backend: Option<&str>, threads: usize, json: bool) -> Result<()> {
        let backends: Vec<Backend> =
            Backend::available().filter(|one| backend.is_none_or(|name| one.name() == name)).collect();
        if backends.is_empty() {
            let name = backend.unwrap_or_default();
            return Err(Failure::Message(format!("this CPU cannot run the backend \"{name}\"")));
        }
        if self.k * self.rows as usize > WEIGHTS_MAX {
            let most = WEIGHTS_MAX / self.k;
            return Err(Failure::Usage(format!(
                "--rows {} of --k {}: at most {most} fit",
                self.rows, self.k
            )));
        }
        let jobs = self.kernels();
        if jobs.is_empty() {
            return Err(Failure::Usage(format!(
                "--only, --format and --k {} leave no kernel to measure: those of vectors have no format, and a row is whole blocks of its \
                 format",
                self.k
            )));
        }
        let copies = self.copies.map_or(usize::MAX, |copies| copies as usize);
        let product = Product { k: self.k, rows: self.rows as usize, copies, quantize: self.quantize };
        let machine = Machine::new(threads, product);
        let mut progress = Progress::new("measuring", backends.len() * jobs.len());
        let mut report = Report {
            threads,
            k: self.k,
            rows: self.rows as usize,
            backends: Vec::new(),
            kernels: Vec::new(),
        };
        for backend in backends {
            let first = machine.ceilings(backend);
            let mut measured = Vec::new();
            for &kernel in &jobs {
                measured.push((kernel, machine.measure(backend, kernel)));
                progress.at(report.kernels.len() + measured.len());
            }
            // A machine that others use is not always as fast: the limits are what it once could.
            let ceilings = first.max(machine.ceilings(backend));
            report
                .kernels
                .extend(measured.into_iter().map(|(kernel, one)| ceilings.row(backend, kernel, one)));
            report.backends.push(ceilings);
        }
        drop(progress);
        if !json {
            return output::print(&report.lines());
        }
        let json = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::Message(format!("cannot write JSON: {error}")))?;
        output::print(&format!("{json}\n"))
    }

    /// The kernels that were asked for, with each format and number of columns that they depend on.
    fn kernels(&self) -> Vec<Kernel> {
        let wanted = |kernel: &Kernel| {
            let by_name = self.only.is_empty() || self.only.iter().any(|name| name == kernel.name());
            let by_format = match kernel.format() {
                None => self.format.is_empty(),
                Some(format) => {
                    self.format.is_empty()
                        || self.format.iter().any(|name| name.eq_ignore_ascii_case(format.name()))
                }
            };
            // Rows of --k weights are whole blocks.
            by_name && by_format && kernel.format().is_none_or(|format| format.row_bytes(self.k).is_some())
        };
        let products = Format::ALL.iter().flat_map(|&format| {
            self.columns.iter().map(move |&columns| Kernel::Matmul(format, columns as usize))
        });
        products.chain(Kernel::others()).filter(wanted).collect()
    }
}

impl Machine {
    fn ceilings(&self, backend: Backend) -> Ceilings {
        Ceilings {
            backend: backend.name(),
            read_gbs: self.read(backend) / 1e9,
            multiply_gmacs: self.multiply(backend) / 1e9,
        }
    }
}

impl Ceilings {
    /// The greater of each.
    fn max(self, other: Ceilings) -> Ceilings {
        Ceilings {
            backend: self.backend,
            read_gbs: self.read_gbs.max(other.read_gbs),
            multiply_gmacs: self.multiply_gmacs.max(other.multiply_gmacs),
        }
    }

    /// What was measured, beside the ceiling.
    fn row(&self, backend: Backend, kernel: Kernel, measured: Measured) -> Row {
        let gbs = measured.bytes / measured.seconds / 1e9;
        let gmacs = measured.macs.map(|macs| macs / measured.seconds / 1e9);
        let of_reading = gbs / self.read_gbs;
        Row {
            backend: backend.name(),
            kernel: kernel.name(),
            format: kernel.format().map(Format::name),
            columns: kernel.columns(),
            origin: match kernel {
                Kernel::Matmul(format, _) => Some(backend.origin(format)),
                Kernel::Attend(kept) | Kernel::AttendWide(kept) => Some(backend.kv_origin(kept)),
                _ => None,
            },
            gbs,
            gmacs,
            ceiling_share: match kernel {
                // Bytes are multiplied as fast as the instruction for it allows. There is no such loop for floats, which
                // one column hardly needs.
                Kernel::Matmul(format, _) if format.wants_q8() => {
                    gmacs.map(|gmacs| of_reading.max(gmacs / self.multiply_gmacs))
                }
                Kernel::Matmul(_, 1) | Kernel::Attend(_) => Some(of_reading),
                // What they work on is in the cache.
                _ => None,
            },
        }
    }
}

impl Report {
    fn lines(&self) -> String {
        let threads = units::plural(self.threads, "thread");
        let mut lines = vec![format!("{threads}, rows of {}, {} of them", self.k, self.rows)];
        for ceilings in &self.backends {
            let Ceilings { backend, read_gbs, multiply_gmacs } = ceilings;
            lines.push(format!(
                "\nbackend {backend}: reads at most {read_gbs:.1} GB/s, multiplies at most {multiply_gmacs:.0} GMAC/s"
            ));
            lines.push(format!(
                "  {:<12} {:<8} {:>7} {:>9} {:>9} {:>8}  {}",
                "kernel", "format", "columns", "GB/s", "GMAC/s", "ceiling", "from"
            ));
            for row in self.kernels.iter().filter(|row| row.backend == *backend) {
                let columns = row.columns.map_or(String::new(), |columns| columns.to_string());
                let gmacs = row.gmacs.map_or(String::new(), |gmacs| format!("{gmacs:.1}"));
                let share =
                    row.ceiling_share.map_or(String::new(), |share| format!("{:.0} %", share * 100.0));
                let line = format!(
                    "  {:<12} {:<8} {columns:>7} {:>9.2} {gmacs:>9} {share:>8}  {}",
                    row.kernel,
                    row.format.unwrap_or_default(),
                    row.gbs,
                    row.origin.unwrap_or_default()
                );
                lines.push(line.trim_end().to_owned());
            }
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}
