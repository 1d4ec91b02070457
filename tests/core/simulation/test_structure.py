from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pytest

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.resources import sample_data, styles
from cryocorr_tui.core.simulation.structure import (
    chain_subset,
    read_structure,
    read_subsets,
    trace_backbone,
)

# A glycine in chain A (N, CA; half an oxygen), a water, a lone CA of an alanine in chain B.
PDB = """\
ATOM      1  N   GLY A   1       1.000   2.000   3.000  1.00 10.00           N
ATOM      2  CA  GLY A   1       2.000   2.000   3.000  1.00 10.00           C
ATOM      3  O   GLY A   1       3.000   2.000   3.000  0.50 10.00           O
ATOM      4  CA  ALA B   1       4.000   5.000   6.000  1.00 10.00           C
HETATM    5  O   HOH A   9       9.000   9.000   9.000  1.00 10.00           O
END
"""


@pytest.fixture
def pdb(tmp_path: Path) -> Path:
    path = tmp_path / "small.pdb"
    path.write_text(PDB)
    return path


def test_atoms_weigh_their_electrons_times_occupancy_and_waters_are_left_out(pdb: Path) -> None:
    structure = read_structure(pdb)
    assert structure.name == "small"
    assert structure.positions.tolist() == [[1, 2, 3], [2, 2, 3], [3, 2, 3], [4, 5, 6]]
    assert structure.weights[:3].tolist() == [7.0, 6.0, 4.0]
    assert structure.chains.tolist() == ["A", "A", "A", "B"]
    assert structure.spread == 0


def test_a_lone_atom_stands_for_its_residue(pdb: Path) -> None:
    # Alanine weighs 89.09 Da: about 44.5 electrons.
    assert read_structure(pdb).weights[3] == pytest.approx(44.55, abs=0.05)


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (bz2.compress, ".bz2")])
def test_a_packed_file_gives_the_same_atoms_whatever_its_name(pack, suffix, pdb, tmp_path) -> None:
    for name in (f"small.pdb{suffix}", "small.ent"):
        packed = tmp_path / name
        packed.write_bytes(pack(PDB.encode()))
        assert read_structure(packed).weights.tolist() == read_structure(pdb).weights.tolist()


def test_a_backbone_trace_of_a_file_keeps_chains_and_comes_back(pdb: Path, tmp_path: Path) -> None:
    path = tmp_path / "trace.cif.gz"
    path.write_bytes(trace_backbone(pdb))
    trace = read_structure(path)
    assert trace.positions.tolist() == [[2, 2, 3]]  # of glycine; alanine was a trace already
    assert trace.chains.tolist() == ["A"]
    assert trace.spread > 0
    assert path.read_bytes() == trace_backbone(pdb)


def test_a_subset_holds_its_chains_alone(pdb: Path) -> None:
    subset = chain_subset(read_structure(pdb), "second", ["B"])
    assert subset.name == "second"
    assert subset.positions.tolist() == [[4, 5, 6]]


def test_a_chain_that_is_not_there_is_named(pdb: Path) -> None:
    with pytest.raises(InputError, match="Subset odd names chain Q, which small"):
        chain_subset(read_structure(pdb), "odd", ["A", "Q"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "holds no atoms"),
        (b"dear diary", "holds no atoms"),
        (b"data_x\n_cell.length_a 1\n", "holds no atoms"),
        (PDB.replace(" 1.00 ", " 0.00 ").replace(" 0.50 ", " 0.00 ").encode(), "none that is occ"),
        (b"data_x\nloop_\n_a.b 'open\n", "not a structure that can be read"),
        (gzip.compress(PDB.encode(), mtime=0)[:60], "damaged"),
        (bz2.compress(PDB.encode())[:60], "damaged"),
    ],
)
def test_a_bad_structure_is_refused_with_its_name(content, complaint, tmp_path) -> None:
    path = tmp_path / "bad.cif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=complaint) as caught:
        read_structure(path)
    assert str(path) in str(caught.value)


def test_a_missing_structure_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.pdb: No such file"):
        read_structure(tmp_path / "absent.pdb")


@pytest.mark.parametrize("content", ["not json", "[]", "{}", '{"40S": "SA0"}', '{"40S": [1]}'])
def test_subsets_that_are_no_mapping_to_chains_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "subsets.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"subsets\.json .*write \{"):
        read_subsets(path)


def test_the_bundled_ribosome_splits_into_its_subunits() -> None:
    ribosome = read_structure(sample_data() / "6zu5_backbone.cif.gz")
    groups = read_subsets(sample_data() / "chain_groups.json")
    sizes = {name: len(chain_subset(ribosome, name, groups[name]).weights) for name in groups}
    assert list(sizes) == ["60S", "40S", "80S"]
    assert sizes["60S"] + sizes["40S"] == sizes["80S"] == len(ribosome.weights)
    assert styles().name == "styles"


def test_the_bundled_backbone_is_that_of_the_deposited_structure(shared_data: Path) -> None:
    deposited = shared_data / "structures" / "6zu5_ribosome80S.cif.gz"
    bundled = sample_data() / "6zu5_backbone.cif.gz"
    assert gzip.decompress(bundled.read_bytes()) == gzip.decompress(trace_backbone(deposited))


def test_real_files_of_every_kind_are_read(shared_data: Path) -> None:
    names = ("3o21_GluA3_NTD.cif.gz", "6msm_CFTR.pdb.bz2", "7pbl_RuvB_HJ.pdb.gz")
    counts = [len(read_structure(shared_data / "structures" / name).weights) for name in names]
    assert min(counts) > 5000
