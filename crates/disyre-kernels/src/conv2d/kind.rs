//! Kinds of convolution and directions of its products.

/// Kind of a convolution: kernel, stride and upsampling.
#[doc(alias = "Kind")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConvKind {
    /// 1×1.
    Pointwise,
    /// 3×3, stride 1, zero padding.
    #[doc(alias = "Same")]
    Conv3x3,
    /// 3×3, stride 2, zero padding: halves height and width, rounded up.
    #[doc(alias = "Halving")]
    Strided,
    /// Nearest-neighbour upsampling by 2, then 3×3 of stride 1 with zero padding: doubles height and width.
    #[doc(alias = "Doubling")]
    Upsampled,
}

impl ConvKind {
    /// Height and width of the kernel.
    pub fn kernel(self) -> usize {
        if self == Self::Pointwise { 1 } else { 3 }
    }

    /// Weights for each pair of channels, in (height, width) order.
    pub fn weights(self) -> usize {
        self.kernel() * self.kernel()
    }

    /// Height and width of the result.
    pub fn output_size(self, [height, width]: [usize; 2]) -> [usize; 2] {
        [height, width].map(|extent| match self {
            Self::Pointwise | Self::Conv3x3 => extent,
            Self::Strided => extent.div_ceil(2),
            Self::Upsampled => 2 * extent,
        })
    }

    /// Phases of input and of output along each axis: how many of their rows lie on one row of the coarse grid.
    pub fn phases(self) -> [usize; 2] {
        match self {
            Self::Pointwise | Self::Conv3x3 => [1, 1],
            Self::Strided => [2, 1],
            Self::Upsampled => [1, 2],
        }
    }
}

/// Direction of a product of data with weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Sums over inputs: the convolution.
    Forward,
    /// Sums over outputs: the gradient by the input.
    BackwardData,
}
