//! Bad inputs by name, through the binary: the message names the file, the fault and the fix, the exit status says so, and
//! nothing is left under the output.

use std::fs;
use std::path::Path;

use disyre::core::ndarray::Array3;
use disyre::core::{Grid, Volume};
use disyre::volume::{write_labels, write_volume};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

use crate::support::{World, disyre, text};

/// A bad input.
struct Bad {
    name: &'static str,
    /// Writes the input into a folder.
    write: fn(&Path),
    /// Arguments; `IN` is that folder, `OUT` the output, `MODEL` and `TOML` a good model and its settings.
    run: &'static str,
    code: i32,
    /// Parts of the message: the file, the fault and the fix.
    says: &'static [&'static str],
}

const DETECT: &str = "detect -i IN/a.nii -o OUT -m MODEL";
const DETECT_GZ: &str = "detect -i IN/a.nii.gz -o OUT -m MODEL";
const DETECT_ALL: &str = "detect -i IN -o OUT -m MODEL";
const MASKED: &str = "detect -i IN/a.nii --mask IN/m/a_mask.nii -o OUT -m MODEL";
const TRAIN: &str = "train --healthy IN -o OUT --config TOML";
const PAIRS: &str = "evaluate --pairs IN/pairs.csv";

/// A small scan: 8 mm voxels, 0 around a brain of many values.
fn scan(seed: usize) -> Volume {
    let grid = Grid::from_spacing([10, 12, 11], [8.0; 3]);
    let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| {
        let inside = (2..8).contains(&z) && (2..10).contains(&y) && (2..9).contains(&x);
        let value = 300 + (z * 7919 + y * 104_729 + x * 1_299_709 + seed * 7907) / 7 % 601;
        if inside { value as f32 } else { 0.0 }
    });
    Volume { data, grid }
}

fn save(folder: &Path, name: &str, volume: &Volume) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write_volume(&path, volume).unwrap();
}

fn good(folder: &Path) {
    save(folder, "a.nii", &scan(0));
}

/// `a.nii` with changed values.
fn values(folder: &Path, change: impl Fn(f32) -> f32 + Sync + Send) {
    let mut volume = scan(0);
    volume.data.mapv_inplace(change);
    // NaN can't be written through the library.
    let bytes: Vec<u8> = volume.data.iter().flat_map(|value| value.to_le_bytes()).collect();
    patched(folder, |file| file[352..].copy_from_slice(&bytes));
}

/// `a.nii` with changed bytes.
fn patched(folder: &Path, change: impl Fn(&mut Vec<u8>)) {
    good(folder);
    let path = folder.join("a.nii");
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Puts a field into a header.
fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

fn put_floats(bytes: &mut [u8], at: usize, floats: &[f32]) {
    let field: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    put(bytes, at, &field);
}

fn raw(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn scan_bytes() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    good(folder.path());
    fs::read(folder.path().join("a.nii")).unwrap()
}

/// Makes a series of two volumes out of a file.
fn series(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    put(&mut bytes, 40, &4i16.to_le_bytes());
    put(&mut bytes, 48, &2i16.to_le_bytes());
    bytes.extend_from_within(352..);
    fs::write(path, bytes).unwrap();
}

/// A mask of the brain of `a.nii`, with its values changed.
fn mask(folder: &Path, grid: impl Fn(&mut Grid), change: impl Fn([usize; 3], f32) -> f32) {
    good(folder);
    let Volume { data, grid: mut of_mask } = scan(0);
    grid(&mut of_mask);
    let data = Array3::from_shape_fn(data.dim(), |(z, y, x)| {
        change([z, y, x], f32::from(u8::from(data[[z, y, x]] != 0.0)))
    });
    save(folder, "m/a_mask.nii", &Volume { data, grid: of_mask });
}

/// A map, a label and a list of this pair.
fn pair(folder: &Path, label: impl Fn([usize; 3]) -> f32, score: impl Fn(f32) -> f32) {
    let Volume { data, grid } = scan(0);
    let map = data.mapv(score);
    values(folder, |_| 1.0);
    fs::rename(folder.join("a.nii"), folder.join("map.nii")).unwrap();
    let path = folder.join("map.nii");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(352);
    bytes.extend(map.iter().flat_map(|value| value.to_le_bytes()));
    fs::write(path, bytes).unwrap();
    let data = Array3::from_shape_fn(grid.shape, |(z, y, x)| label([z, y, x]));
    save(folder, "label.nii", &Volume { data, grid });
    let line = format!("{0}/map.nii,{0}/label.nii", text(folder));
    raw(folder, "pairs.csv", format!("score,label\n{line}\n").as_bytes());
}

fn lesion([z, y, x]: [usize; 3]) -> f32 {
    f32::from(u8::from(z < 5 && y < 5 && x < 5))
}

fn healthy(folder: &Path, count: usize) {
    (0..count).for_each(|index| save(folder, &format!("h{index}.nii"), &scan(index)));
}

/// A copy of the good model with one file changed.
fn model(folder: &Path, name: &str, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    good(folder);
    fs::create_dir(folder.join("model")).unwrap();
    let source = World::get().at("model");
    for entry in fs::read_dir(source).unwrap().map(|entry| entry.unwrap()) {
        let bytes = fs::read(entry.path()).unwrap();
        let bytes = if entry.file_name() == name { change(bytes) } else { bytes };
        raw(&folder.join("model"), entry.file_name().to_str().unwrap(), &bytes);
    }
}

fn replaced(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1).into_bytes()
}

#[rustfmt::skip]
const DAMAGED: &[Bad] = &[
    Bad { name: "nothing there", write: |_| {}, run: DETECT, code: 1, says: &["cannot read IN/a.nii", "No such file"] },
    Bad { name: "empty file", write: |d| raw(d, "a.nii", b""), run: DETECT, code: 1, says: &["IN/a.nii is cut short", "it holds 0", "fetch it again"] },
    Bad { name: "text", write: |d| raw(d, "a.nii", b"not a scan at all"), run: DETECT, code: 1, says: &["IN/a.nii is not a .nii or .nii.gz file"] },
    Bad { name: "pointer of git-annex", write: |d| raw(d, "a.nii.gz", b"/annex/objects/MD5E-s100--0a1b.nii.gz\n"), run: DETECT_GZ, code: 1, says: &["IN/a.nii.gz is not", "`datalad get`"] },
    Bad { name: "pointer of Git LFS", write: |d| raw(d, "a.nii.gz", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"), run: DETECT_GZ, code: 1, says: &["IN/a.nii.gz is not", "`git lfs pull`"] },
    Bad { name: "web page", write: |d| raw(d, "a.nii.gz", b"<!DOCTYPE html><html>404</html>"), run: DETECT_GZ, code: 1, says: &["IN/a.nii.gz is not", "web page"] },
    Bad { name: "cut short", write: |d| patched(d, |b| b.truncate(700)), run: DETECT, code: 1, says: &["IN/a.nii is cut short", "it holds 700", "fetch it again"] },
    Bad { name: "gzip cut short", write: |d| { let b = gzip(&scan_bytes()); raw(d, "a.nii.gz", &b[..b.len() / 2]) }, run: DETECT_GZ, code: 1, says: &["IN/a.nii.gz is cut short", "fetch it again"] },
    Bad { name: "gzip of another checksum", write: |d| { let mut b = gzip(&scan_bytes()); let n = b.len(); b[n - 8] ^= 1; raw(d, "a.nii.gz", &b) }, run: DETECT_GZ, code: 1, says: &["IN/a.nii.gz is damaged", "corrupt gzip stream", "fetch it again"] },
    Bad { name: "gzip twice", write: |d| raw(d, "a.nii.gz", &gzip(&gzip(&scan_bytes()))), run: DETECT_GZ, code: 1, says: &["IN/a.nii.gz is not", "compressed twice", "gunzip"] },
    Bad { name: "bzip2", write: |d| raw(d, "a.nii.gz", b"BZh91AY&SY"), run: DETECT_GZ, code: 1, says: &["IN/a.nii.gz is not", "bzip2", "compress it with gzip"] },
    Bad { name: "zip archive", write: |d| raw(d, "a.nii.gz", b"PK\x03\x04aaaaaaaaaa"), run: DETECT_GZ, code: 1, says: &["IN/a.nii.gz is not", "unpack it"] },
    Bad { name: "NRRD", write: |d| raw(d, "a.nii", b"NRRD0004\ntype: float\n"), run: DETECT, code: 1, says: &["IN/a.nii is not", "NRRD", "convert it to NIfTI"] },
    Bad { name: "picture", write: |d| raw(d, "a.nii", b"\x89PNG\r\n\x1a\n12345"), run: DETECT, code: 1, says: &["IN/a.nii is not", "picture"] },
    Bad { name: "half of a pair", write: |d| patched(d, |b| put(b, 344, b"ni1\0")), run: DETECT, code: 1, says: &["IN/a.nii is not", ".hdr/.img pair", "convert"] },
    Bad { name: "magic bytes of a transfer as text", write: |d| patched(d, |b| put(b, 344, b"xxx\0")), run: DETECT, code: 1, says: &["IN/a.nii is not", "magic bytes are missing"] },
];

#[rustfmt::skip]
const HEADERS: &[Bad] = &[
    Bad { name: "no dimension", write: |d| patched(d, |b| put(b, 40, &0i16.to_le_bytes())), run: DETECT, code: 1, says: &["IN/a.nii has dim [0", "the header is damaged"] },
    Bad { name: "negative size", write: |d| patched(d, |b| put(b, 42, &(-11i16).to_le_bytes())), run: DETECT, code: 1, says: &["IN/a.nii has dim [3, -11", "the header is damaged"] },
    Bad { name: "more voxels than bytes", write: |d| patched(d, |b| put(b, 42, &32767i16.to_le_bytes())), run: DETECT, code: 1, says: &["IN/a.nii is cut short"] },
    Bad { name: "complex voxels", write: |d| patched(d, |b| put(b, 70, &32i16.to_le_bytes())), run: DETECT, code: 1, says: &["IN/a.nii holds voxels of type", "convert them to float32"] },
    Bad { name: "colours", write: |d| patched(d, |b| put(b, 70, &128i16.to_le_bytes())), run: DETECT, code: 1, says: &["IN/a.nii holds voxels of type", "convert them to float32"] },
    Bad { name: "voxels inside the header", write: |d| patched(d, |b| put_floats(b, 108, &[10.0])), run: DETECT, code: 1, says: &["IN/a.nii says that its voxels start at byte 10, expected 352"] },
    Bad { name: "voxels beyond any header", write: |d| patched(d, |b| put_floats(b, 108, &[1e12])), run: DETECT, code: 1, says: &["IN/a.nii says that its voxels start"] },
    Bad { name: "offset of intensities without a value", write: |d| patched(d, |b| put_floats(b, 112, &[2.0, f32::NAN])), run: DETECT, code: 1, says: &["IN/a.nii has scl_slope 2", "set scl_inter to a finite value"] },
    Bad { name: "sform of zeros", write: |d| patched(d, |b| put_floats(b, 280, &[0.0; 12])), run: DETECT, code: 1, says: &["sform of IN/a.nii maps the volume onto", "correct the header"] },
    Bad { name: "sform without a value", write: |d| patched(d, |b| put_floats(b, 280, &[f32::NAN])), run: DETECT, code: 1, says: &["sform of IN/a.nii holds a value that is not finite", "correct the header"] },
    Bad { name: "voxels without a size", write: |d| patched(d, |b| { put(b, 252, &[0; 4]); put_floats(b, 80, &[0.0]) }), run: DETECT, code: 1, says: &["pixdim of IN/a.nii needs pixdim[1..3] to be finite and not 0", "correct the header"] },
    Bad { name: "voxels of 60 mm", write: |d| { let mut v = scan(0); v.grid = Grid::from_spacing(v.grid.shape, [60.0; 3]); save(d, "a.nii", &v) }, run: DETECT, code: 1, says: &["IN/a.nii has voxels of 60 × 60 × 60 mm", "correct xyzt_units"] },
    Bad { name: "millimetres called micrometres", write: |d| patched(d, |b| b[123] = 3), run: DETECT, code: 1, says: &["IN/a.nii has voxels of 0.008", "in micrometres", "correct xyzt_units"] },
    Bad { name: "series", write: |d| { good(d); series(&d.join("a.nii")) }, run: DETECT, code: 1, says: &["IN/a.nii holds 2 volumes", "--volume-index 0 to 1"] },
    Bad { name: "volume that a series lacks", write: |d| { good(d); series(&d.join("a.nii")) }, run: "detect -i IN/a.nii -o OUT -m MODEL --volume-index 2", code: 1, says: &["IN/a.nii holds 2 volume(s)", "no --volume-index 2"] },
];

#[rustfmt::skip]
const VOXELS: &[Bad] = &[
    Bad { name: "NaN", write: |d| values(d, |v| if v > 800.0 { f32::NAN } else { v }), run: DETECT, code: 1, says: &["IN/a.nii holds", "NaN", "replace them"] },
    Bad { name: "infinity", write: |d| values(d, |v| if v > 800.0 { f32::INFINITY } else { v }), run: DETECT, code: 1, says: &["IN/a.nii holds", "infinite", "replace them"] },
    Bad { name: "zeros", write: |d| values(d, |_| 0.0), run: DETECT, code: 1, says: &["a.nii", "no voxel inside the brain", "give a brain mask"] },
    Bad { name: "constant", write: |d| values(d, |_| 7.0), run: DETECT, code: 1, says: &["IN/a.nii holds 7 in every voxel", "give the scan itself"] },
    Bad { name: "mask in place of a scan", write: |d| values(d, |v| f32::from(u8::from(v > 0.0))), run: DETECT, code: 1, says: &["IN/a.nii holds a mask", "take it out of the folder"] },
    Bad { name: "segmentation in place of a scan", write: |d| { let mut v = scan(0); v.data.indexed_iter_mut().for_each(|((z, ..), v)| if *v > 0.0 { *v = 1.0 + (z / 3) as f32 }); save(d, "a.nii", &v) }, run: DETECT, code: 1, says: &["IN/a.nii holds a segmentation", "take it out of the folder"] },
    Bad { name: "background of 100", write: |d| values(d, |v| v + 100.0), run: DETECT, code: 1, says: &["IN/a.nii: its background is 100", "set the background to exactly 0"] },
    Bad { name: "z-scores", write: |d| values(d, |v| if v > 0.0 { (v - 600.5) / 170.0 } else { 0.0 }), run: DETECT, code: 1, says: &["a.nii", "z-scored", "give the scan before standardisation"] },
    Bad { name: "empty mask", write: |d| mask(d, |_| {}, |_, _| 0.0), run: MASKED, code: 1, says: &["a.nii", "no voxel inside the brain"] },
    Bad { name: "mask of another shape", write: |d| { good(d); fs::create_dir(d.join("m")).unwrap(); let g = Grid::from_spacing([3, 4, 5], [8.0; 3]); write_labels(&d.join("m/a_mask.nii"), Array3::ones(g.shape).view(), &g).unwrap() }, run: MASKED, code: 1, says: &["mask IN/m/a_mask.nii has shape [3, 4, 5]", "IN/a.nii has [10, 12, 11]", "resample the mask"] },
    Bad { name: "mask elsewhere", write: |d| mask(d, |g| g.affine[0][3] += 20.0, |_, v| v), run: MASKED, code: 1, says: &["mask IN/m/a_mask.nii lies up to 20.000 mm from image IN/a.nii", "resample the mask"] },
    Bad { name: "mask that was interpolated in bytes", write: |d| mask(d, |_| {}, |[z, y, x], v| if v == 0.0 { 0.0 } else if [3, 7].contains(&z) || [3, 8].contains(&y) || [3, 7].contains(&x) { (37 + (z * 5 + y * 11 + x * 17) % 190) as f32 } else { 255.0 }), run: MASKED, code: 1, says: &["IN/m/a_mask.nii is neither a mask of one value", "interpolation leaves them", "threshold it"] },
    Bad { name: "mask of less than half of each voxel", write: |d| mask(d, |_| {}, |[z, ..], v| v * (0.1 + 0.03 * z as f32)), run: MASKED, code: 1, says: &["IN/m/a_mask.nii is neither", "less than half of a voxel", "threshold it"] },
    Bad { name: "series of masks", write: |d| { mask(d, |_| {}, |_, v| v); series(&d.join("m/a_mask.nii")) }, run: MASKED, code: 1, says: &["IN/m/a_mask.nii holds 2 volumes", "extract one of them"] },
    Bad { name: "no mask of this scan", write: |d| { mask(d, |_| {}, |_, v| v); fs::rename(d.join("m/a_mask.nii"), d.join("m/b_mask.nii")).unwrap() }, run: "detect -i IN/a.nii --mask IN/m -o OUT -m MODEL", code: 1, says: &["no brain mask of IN/a.nii in IN/m", "expected a file named like a"] },
    Bad { name: "two masks of this scan", write: |d| { mask(d, |_| {}, |_, v| v); fs::copy(d.join("m/a_mask.nii"), d.join("m/a_brain.nii")).unwrap(); }, run: "detect -i IN/a.nii --mask IN/m -o OUT -m MODEL", code: 1, says: &["2 brain masks of IN/a.nii", "keep one of them"] },
];

#[rustfmt::skip]
const FOLDERS: &[Bad] = &[
    Bad { name: "empty folder", write: |_| {}, run: DETECT_ALL, code: 1, says: &["IN holds no .nii or .nii.gz file"] },
    Bad { name: "scans in subfolders alone", write: |d| save(d, "sub-1/anat/sub-1_T1w.nii", &scan(0)), run: DETECT_ALL, code: 1, says: &["sub-1/anat/sub-1_T1w.nii", "give that folder"] },
    Bad { name: "one name twice", write: |d| { good(d); raw(d, "a.nii.gz", &gzip(&scan_bytes())) }, run: DETECT_ALL, code: 1, says: &["IN/a.nii and IN/a.nii.gz would both write", "rename one of them"] },
    Bad { name: "folder named like a scan", write: |d| { healthy(d, 2); fs::create_dir(d.join("x.nii")).unwrap() }, run: TRAIN, code: 1, says: &["cannot read IN/x.nii", "directory"] },
    Bad { name: "output that is a file", write: good, run: "detect -i IN/a.nii -o IN/a.nii -m MODEL", code: 1, says: &["cannot write to IN/a.nii", "Not a directory"] },
    Bad { name: "model without files", write: good, run: "detect -i IN/a.nii -o OUT -m IN", code: 1, says: &["IN holds no trained model", "run.toml is missing", "give the folder that `disyre train` wrote"] },
    Bad { name: "settings with a misspelt key", write: |d| model(d, "run.toml", |b| replaced(b, "stride", "strides")), run: "detect -i IN/a.nii -o OUT -m IN/model", code: 1, says: &["IN/model/run.toml", "strides"] },
    Bad { name: "network beyond memory", write: |d| model(d, "config.json", |b| replaced(b, "16", "1600000000")), run: "detect -i IN/a.nii -o OUT -m IN/model", code: 1, says: &["network.channels is 1600000000, expected 1 to 65536"] },
    Bad { name: "weights cut short", write: |d| model(d, "ema.safetensors", |mut b| { b.truncate(b.len() / 2); b }), run: "detect -i IN/a.nii -o OUT -m IN/model", code: 1, says: &["IN/model/ema.safetensors is not a whole safetensors file", "copy it again"] },
    Bad { name: "record without contents", write: |d| model(d, "run.json", |_| Vec::new()), run: "detect -i IN/a.nii -o OUT -m IN/model", code: 1, says: &["IN/model/run.json is not a valid configuration", "restore the file"] },
    Bad { name: "one healthy scan", write: |d| healthy(d, 1), run: TRAIN, code: 1, says: &["healthy scans of 1 persons are too few", "at least 2 are needed"] },
    Bad { name: "bad headers among healthy scans", write: |d| { healthy(d, 2); raw(d, "x.nii", b"text"); raw(d, "y.nii", b"NRRD0004\n") }, run: TRAIN, code: 1, says: &["2 of 4 scans cannot be used", "IN/x.nii is not", "IN/y.nii is not", "convert it to NIfTI"] },
    Bad { name: "bad voxels among healthy scans", write: |d| { healthy(d, 2); values(d, |v| v + 100.0); values_of_zero(d) }, run: TRAIN, code: 1, says: &["2 of 4 scans cannot be used", "a.nii: its background is 100", "zero.nii"] },
    Bad { name: "copies among healthy scans", write: |d| { healthy(d, 3); fs::copy(d.join("h0.nii"), d.join("copy.nii")).unwrap(); }, run: TRAIN, code: 1, says: &["h0 is copy again (the same file)", "give each healthy scan once"] },
    Bad { name: "one name twice among healthy scans", write: |d| { healthy(d, 3); raw(d, "h0.nii.gz", &gzip(&scan_bytes())) }, run: TRAIN, code: 1, says: &["two healthy scans are called h0", "keep one of them or rename it"] },
    Bad { name: "healthy scans in subfolders", write: |d| { healthy(d, 2); save(d, "more/h9.nii", &scan(9)) }, run: TRAIN, code: 1, says: &["subfolders of IN hold scans", "IN/more/h9.nii", "move them up"] },
    Bad { name: "healthy series", write: |d| { healthy(d, 3); series(&d.join("h1.nii")) }, run: TRAIN, code: 1, says: &["IN/h1.nii holds 2 volumes", "extract one of them"] },
    Bad { name: "nothing to resume", write: |d| healthy(d, 2), run: "train --healthy IN -o OUT --config TOML --resume", code: 1, says: &["OUT holds no training to resume", "leave out --resume"] },
];

#[rustfmt::skip]
const PAIRED: &[Bad] = &[
    Bad { name: "no list", write: |_| {}, run: PAIRS, code: 1, says: &["cannot read IN/pairs.csv", "No such file"] },
    Bad { name: "list without pairs", write: |d| raw(d, "pairs.csv", b"score,label\n"), run: PAIRS, code: 1, says: &["IN/pairs.csv lists no pair", "expected a line score,label"] },
    Bad { name: "list with other columns", write: |d| raw(d, "pairs.csv", b"image,truth\na.nii,b.nii\n"), run: PAIRS, code: 1, says: &["IN/pairs.csv is not a list of pairs", "expected the columns score,label"] },
    Bad { name: "label of another shape", write: |d| { pair(d, lesion, |v| v); let g = Grid::from_spacing([3, 4, 5], [8.0; 3]); write_labels(&d.join("label.nii"), Array3::ones(g.shape).view(), &g).unwrap() }, run: PAIRS, code: 1, says: &["mask IN/label.nii has shape [3, 4, 5]", "IN/map.nii", "resample the mask"] },
    Bad { name: "label of less than half of each voxel", write: |d| pair(d, |at| lesion(at) * (0.1 + 0.03 * at[0] as f32), |v| v), run: PAIRS, code: 1, says: &["IN/label.nii is neither", "less than half of a voxel", "threshold it"] },
    Bad { name: "scores without a value", write: |d| pair(d, lesion, |v| if v == 0.0 { f32::NAN } else { v }), run: PAIRS, code: 1, says: &["IN/map.nii holds", "NaN", "replace them"] },
    Bad { name: "folder without maps", write: |d| { good(d); save(d, "l/a_lesion.nii", &scan(0)) }, run: "evaluate --scores IN --labels IN/l", code: 1, says: &["IN holds no file named NAME_desc-anomalyscore", "`disyre detect`"] },
    Bad { name: "lesion of another person", write: |d| { pair(d, lesion, |v| v); fs::create_dir(d.join("s")).unwrap(); fs::create_dir(d.join("l")).unwrap(); fs::rename(d.join("map.nii"), d.join("s/P1_desc-anomalyscore.nii")).unwrap(); fs::rename(d.join("label.nii"), d.join("l/P1-2_lesion.nii")).unwrap() }, run: "evaluate --scores IN/s --labels IN/l", code: 1, says: &["no lesion mask of IN/s/P1_desc-anomalyscore.nii", "expected a file named like P1"] },
];

fn values_of_zero(folder: &Path) {
    save(folder, "zero.nii", &Volume::zeros(scan(0).grid));
}

fn check(bad: &Bad) -> Result<(), String> {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input).unwrap();
    (bad.write)(&input);
    let before = entries(&input);
    let places = [
        ("IN", text(&input)),
        ("OUT", text(&out)),
        ("MODEL", world.path("model")),
        ("TOML", world.path("tiny.toml")),
    ];
    let placed = |text: &str| {
        places.iter().fold(text.to_owned(), |text, (name, place)| text.replace(name, place))
    };
    let arguments: Vec<String> = bad.run.split(' ').map(placed).collect();
    let ran = disyre(arguments.iter().map(String::as_str));
    let fail = |what: &str| Err(format!("{}: {what}\n{}{}", bad.name, ran.out, ran.err));
    if ran.code != Some(bad.code) {
        return fail(&format!("exit status {:?}, expected {}", ran.code, bad.code));
    }
    if let Some(part) = bad.says.iter().find(|part| !ran.err.contains(&placed(part))) {
        return fail(&format!("{part:?} is missing"));
    }
    if out.exists() && !entries(&out).is_empty() {
        return fail(&format!("left: {:?}", entries(&out)));
    }
    if entries(&input) != before {
        return fail("the input was changed");
    }
    Ok(())
}

/// Files and folders below a folder.
fn entries(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(entries(&entry));
        }
        found.push(text(&entry));
    }
    found.sort();
    found
}

fn check_all(table: &[Bad]) {
    let failed: Vec<String> = table.iter().filter_map(|bad| check(bad).err()).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), table.len(), failed.join("\n"));
}

#[test]
fn damaged_files_are_refused() {
    check_all(DAMAGED);
}

#[test]
fn headers_that_cannot_be_are_refused() {
    check_all(HEADERS);
}

#[test]
fn voxels_and_masks_that_cannot_be_are_refused() {
    check_all(VOXELS);
}

#[test]
fn folders_models_and_cohorts_that_cannot_be_are_refused() {
    check_all(FOLDERS);
}

#[test]
fn lists_and_pairs_that_cannot_be_are_refused() {
    check_all(PAIRED);
}

#[test]
fn there_are_at_least_sixty_with_names_of_their_own() {
    let tables = [DAMAGED, HEADERS, VOXELS, FOLDERS, PAIRED];
    let mut names: Vec<&str> = tables.into_iter().flatten().map(|bad| bad.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(count == names.len() && count >= 60, "{count}");
}
