//! The state of AdamW and the gradient, on the device.

use disyre_kernels::AdamW;
use disyre_kernels::backend::{self, Backend};

use super::State;
use crate::DiffusionError;

/// Moments, moving average and gradient of every weight.
#[derive(Debug)]
pub(crate) struct Optimiser<B: Backend> {
    first: B::Values,
    second: B::Values,
    average: Option<B::Values>,
    gradient: B::Values,
    coefficients: Option<B::Update>,
}

impl<B: Backend> Optimiser<B> {
    /// Before the first step from `weights`, with or without their moving average.
    pub(crate) fn new(backend: &B, weights: &[f32], averaged: bool) -> Self {
        let zeros = || backend.zeros(weights.len());
        let average = averaged.then(|| backend.upload(weights));
        Self { first: zeros(), second: zeros(), average, gradient: zeros(), coefficients: None }
    }

    /// As it was when the state was taken.
    pub(crate) fn from_state(backend: &B, state: &State) -> Self {
        Self {
            first: backend.upload(&state.moment1),
            second: backend.upload(&state.moment2),
            average: state.average.as_ref().map(|average| backend.upload(average)),
            gradient: backend.zeros(state.weights.len()),
            coefficients: None,
        }
    }

    /// Where the gradient goes.
    pub(crate) fn gradient(&mut self) -> &mut B::Values {
        &mut self.gradient
    }

    pub(crate) fn average(&self) -> Option<&B::Values> {
        self.average.as_ref()
    }

    /// Sets what the next update is.
    pub(crate) fn prepare(&mut self, backend: &B, update: &AdamW) {
        backend.prepare(update, &mut self.coefficients);
    }

    /// Updates the weights along the gradient, unless it or the loss is not finite; returns its norm.
    pub(crate) fn update(
        &mut self,
        backend: &B,
        weights: &mut B::Values,
        loss: &B::Scalar,
    ) -> B::Scalar {
        let Self { first, second, average, gradient, coefficients } = self;
        let update = coefficients.as_ref().expect("updates are prepared");
        let state = backend::State { weights, first, second, average: average.as_mut() };
        backend.update(update, loss, gradient, state)
    }

    pub(crate) fn state(&self, backend: &B, weights: &B::Values) -> Result<State, DiffusionError> {
        Ok(State {
            weights: backend.download(weights)?,
            moment1: backend.download(&self.first)?,
            moment2: backend.download(&self.second)?,
            average: self.average.as_ref().map(|average| backend.download(average)).transpose()?,
        })
    }
}
