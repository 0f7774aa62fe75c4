pub(crate) mod datatype;
pub(crate) mod header;
pub(crate) mod info;
pub(crate) mod placement;
pub(crate) mod read;
pub(crate) mod source;
pub(crate) mod write;
