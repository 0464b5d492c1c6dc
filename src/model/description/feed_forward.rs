//! Floor 2. The words for feed-forward layers, plain and gated, and for experts.
#![forbid(unsafe_code)]

use super::{Description, Layer};
use crate::error::{Error, Result, text};
use crate::model::hyper::HyperParameters;
use crate::model::program::{Activation, Buffer, Choice, Experts, Projection, Step};

/// How tokens choose experts.
#[derive(Clone, Copy)]
pub(crate) struct Routing {
    pub(crate) count: usize,
    pub(crate) used: usize,
    /// Hidden values of an expert.
    pub(crate) ffn: usize,
    /// Multiplies what the experts make.
    pub(crate) scale: f32,
    /// Whether scores go through a sigmoid, and `exp_probs_b` is added where they are compared.
    pub(crate) sigmoid: bool,
}

impl Description<'_> {
    /// The keys `expert_*` of a model with experts, each as wide as a feed-forward layer.
    pub(crate) fn routing(&self) -> Result<Option<Routing>> {
        if self.keys.u32_if_any("expert_count")?.is_none_or(|count| count == 0) {
            return Ok(None);
        }
        let (count, used) = (self.keys.count("expert_count")?, self.keys.count("expert_used_count")?);
        if used > count {
            let architecture = self.keys.architecture;
            return Err(Error::Inconsistent(text!(
                "{architecture}.expert_used_count is {used}, and there are {count} experts"
            )));
        }
        let scale = self.keys.factor("expert_weights_scale")?.unwrap_or(1.0);
        Ok(Some(Routing { count, used, ffn: self.hyper.ffn, scale, sigmoid: false }))
    }
}

impl Layer<'_, '_> {
    /// The gated feed-forward layer into the delta: `ffn_gate`, `ffn_up`, `ffn_down`.
    pub(crate) fn feed_forward(&mut self, from: Buffer, activation: Activation) -> Result<()> {
        let (dim, ffn) = (self.model.hyper.dim, self.ffn);
        let (gate, up) = (self.project("ffn_gate", dim, ffn)?, self.project("ffn_up", dim, ffn)?);
        let down = self.project("ffn_down", ffn, dim)?;
        self.gated(from, [gate, up, down], activation)
    }

    /// The same with gates and what they gate in one matrix, the gates first: `ffn_up`, `ffn_down`.
    pub(crate) fn joint_feed_forward(&mut self, from: Buffer, activation: Activation) -> Result<()> {
        let HyperParameters { dim, ffn, .. } = *self.model.hyper;
        let both = self.project("ffn_up", dim, 2 * ffn)?;
        let down = self.project("ffn_down", ffn, dim)?;
        self.gated(from, [both.part(0, ffn), both.part(ffn, ffn), down], activation)
    }

    /// The feed-forward layer without gates, into the delta: `ffn_up`, `ffn_down`.
    pub(crate) fn plain_feed_forward(&mut self, from: Buffer, activation: Activation) -> Result<()> {
        let HyperParameters { dim, ffn, .. } = *self.model.hyper;
        let (projection, down) = (self.project("ffn_up", dim, ffn)?, self.project("ffn_down", ffn, dim)?);
        let hidden = down.weight.format.scales();
        self.model.steps.push(Step::Activate { from, projection, activation, hidden })?;
        self.model.steps.linear(Buffer::Hidden, [(down, Buffer::Delta)])
    }

    fn gated(
        &mut self,
        from: Buffer,
        [gate, up, down]: [Projection; 3],
        activation: Activation,
    ) -> Result<()> {
        let hidden = down.weight.format.scales();
        self.model.steps.push(Step::Gated { from, gate, up, activation, hidden })?;
        self.model.steps.linear(Buffer::Hidden, [(down, Buffer::Delta)])
    }

    /// The feed-forward layers of the chosen experts into the delta: `ffn_gate_inp` chooses, and `ffn_gate_exps`, `ffn_up_exps`
    /// and `ffn_down_exps` hold those of all.
    pub(crate) fn experts(&mut self, from: Buffer, routing: Routing, activation: Activation) -> Result<()> {
        let (dim, Routing { count, used, ffn, scale, sigmoid }) = (self.model.hyper.dim, routing);
        let router = self.project("ffn_gate_inp", dim, count)?;
        let all = |name: &str, k, rows| {
            let weight = text!("blk.{}.{name}.weight", self.index);
            let weight = self.model.tensors.matrices(weight, k, rows, count)?;
            let bias = text!("blk.{}.{name}.bias", self.index);
            let bias = self.model.tensors.vectors_if_any(bias, rows, count)?;
            Ok::<_, Error>(Projection { weight, bias })
        };
        let gate = all("ffn_gate_exps", dim, ffn)?;
        let up = all("ffn_up_exps", dim, ffn)?;
        let down = all("ffn_down_exps", ffn, dim)?;
        let hidden = down.weight.format.scales();
        self.model.steps.linear(from, [(router, Buffer::Scores)])?;
        let matrices = [gate, up, down];
        let choice = match sigmoid {
            false => Choice::Softmax,
            true => {
                let bias = text!("blk.{}.exp_probs_b.bias", self.index);
                Choice::Sigmoid { bias: self.model.tensors.vector(bias, count)? }
            }
        };
        let experts = Experts { count, used, choice, scale, activation, hidden, matrices };
        self.model.steps.push(Step::Experts { from, experts })
    }

    /// The gated one of `ffn` hidden values, which every token goes through beside the experts that it chooses.
    pub(crate) fn shared_expert(&mut self, from: Buffer, ffn: usize, activation: Activation) -> Result<()> {
        let dim = self.model.hyper.dim;
        let gate = self.project("ffn_gate_shexp", dim, ffn)?;
        let up = self.project("ffn_up_shexp", dim, ffn)?;
        let down = self.project("ffn_down_shexp", ffn, dim)?;
        self.gated(from, [gate, up, down], activation)
    }

    /// The same, of which each token takes the share that `ffn_gate_inp_shexp` gives it.
    pub(crate) fn shared_expert_by_share(
        &mut self,
        from: Buffer,
        ffn: usize,
        activation: Activation,
    ) -> Result<()> {
        let dim = self.model.hyper.dim;
        let share = self.project("ffn_gate_inp_shexp", dim, 1)?;
        self.model.steps.linear(from, [(share, Buffer::Share)])?;
        self.shared_expert(from, ffn, activation)?;
        self.model.steps.push(Step::Share)
    }
}
