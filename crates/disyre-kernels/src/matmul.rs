//! The matrix product on which the convolution rests: `gemm` behind checked views.

use gemm::Parallelism;
use ndarray::{ArrayView2, ArrayViewMut2};

/// Writes `a · b` into `out`, or adds it to `out` if `accumulate` is set, on the calling thread.
///
/// # Panics
/// If the shapes do not belong together: a defect of the caller.
pub(crate) fn multiply(
    mut out: ArrayViewMut2<'_, f32>,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    accumulate: bool,
) {
    let ((rows, depth), columns) = (a.dim(), b.ncols());
    assert_eq!(b.nrows(), depth, "the factors share a dimension");
    assert_eq!(out.dim(), (rows, columns), "the product has the rows of `a` and columns of `b`");
    let (out_strides, a_strides, b_strides) =
        ([out.strides()[0], out.strides()[1]], a.strides(), b.strides());
    #[expect(unsafe_code, reason = "gemm takes raw pointers")]
    // SAFETY: gemm reads `a` and `b` and writes `out` at `pointer + i·row stride + j·column stride`
    // for all i, j below the dimensions given. The assertions above make these the dimensions of
    // the views, for which ndarray guarantees that all such elements are initialised, live and, as
    // `out` is an exclusive view, distinct from each other and from those of `a` and `b`.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            out.as_mut_ptr(),
            out_strides[1],
            out_strides[0],
            accumulate,
            a.as_ptr(),
            a_strides[1],
            a_strides[0],
            b.as_ptr(),
            b_strides[1],
            b_strides[0],
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
