//! The plain operations on images `(n, h, w, c)`, with the arguments of this crate's own.

use candle_core::{Result, Tensor};

use super::upsample_nearest2;
use crate::{ConvKind, GroupNorm};

/// The plain form of [`conv2d`](crate::candle::conv2d()).
///
/// # Shapes and units
/// Those of [`conv2d`](crate::candle::conv2d()).
///
/// # Errors
/// Those of candle: shapes that do not belong together.
pub fn conv2d(
    kind: ConvKind,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    addend: Option<&Tensor>,
) -> Result<Tensor> {
    let x = channels_second(x)?;
    let (x, stride) = match kind {
        ConvKind::Upsampled => (upsample_nearest2(&x)?, 1),
        ConvKind::Strided => (x, 2),
        ConvKind::Conv3x3 | ConvKind::Pointwise => (x, 1),
    };
    let weight = weight.permute((3, 2, 0, 1))?.contiguous()?;
    let y = channels_last(&super::conv2d(&x, &weight, bias, stride)?)?;
    match addend {
        None => Ok(y),
        Some(addend) => y.broadcast_add(addend),
    }
}

/// The plain form of [`group_norm`](crate::candle::group_norm()).
///
/// # Shapes and units
/// Those of [`group_norm`](crate::candle::group_norm()).
///
/// # Errors
/// Those of candle: shapes that do not belong together.
pub fn group_norm(
    norm: GroupNorm,
    silu: bool,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let y = super::group_norm(&channels_second(x)?, weight, bias, norm.groups, norm.epsilon)?;
    channels_last(&if silu { y.silu()? } else { y })
}

/// The plain form of [`attention`](crate::candle::attention()).
///
/// # Shapes and units
/// Those of [`attention`](crate::candle::attention()).
///
/// # Errors
/// Those of candle: shapes that do not belong together.
pub fn attention(head_channels: usize, qkv: &Tensor) -> Result<Tensor> {
    let (count, height, width, all) = qkv.dims4()?;
    let channels = all / 3;
    let of = |which: usize| {
        let part = channels_second(&qkv.narrow(3, which * channels, channels)?)?;
        part.reshape((count * channels / head_channels, head_channels, height * width))
    };
    let mixed = super::attention(&of(0)?, &of(1)?, &of(2)?)?;
    channels_last(&mixed.reshape((count, channels, height, width))?)
}

fn channels_second(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))?.contiguous()
}

fn channels_last(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 2, 3, 1))?.contiguous()
}
