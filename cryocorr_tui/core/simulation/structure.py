"""Atoms from structure files: what is projected to simulate class averages."""

from __future__ import annotations

import bz2
import gzip
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from cryocorr_tui.core.errors import InputError
from cryocorr_tui.core.model import FloatArray, frozen_array

__all__ = ["Structure", "chain_subset", "read_structure", "read_subsets", "trace_backbone"]

# Light atoms carry about one electron per two daltons (C, N, O: exactly; H, P, S: nearly).
_ELECTRONS_PER_DALTON = 0.5

# Å: how far the atoms of a residue stray from one point of it, root mean square along an axis.
_RESIDUE_SPREAD = 2.5

_TRACE_ATOMS = {"CA", "P"}


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms of a macromolecule.

    Attributes
    ----------
    name : str
        File name without its suffixes.
    positions : (n, 3) float32
        x, y, z in Å.
    weights : (n,) float32
        Electrons of each atom times its occupancy; an atom that is alone in its residue, as in a
        backbone trace, counts with half the residue's mass in Da, about its electrons.
    chains : (n,) str
        Chain of each atom as its authors named it (``auth_asym_id``).
    spread : float
        Å; standard deviation of the Gaussian that each position stands for: 0 for atoms, that of
        a residue for a backbone trace.
    """

    name: str
    positions: FloatArray
    weights: FloatArray
    chains: NDArray[np.str_]
    spread: float = 0.0


def read_structure(path: Path) -> Structure:
    """Read the first model of an mmCIF or PDB file, plain, gzipped or bzip2ed; waters are left out.

    Raises
    ------
    InputError
        If the file is missing, cannot be read or unpacked, is neither mmCIF nor PDB, holds no
        atoms, lacks a coordinate, or gives every atom an occupancy of 0.
    """
    structure = _parse(path)
    positions: list[list[float]] = []
    weights: list[float] = []
    chains: list[str] = []
    lone = 0
    for chain in structure[0]:
        for residue in chain:
            alone = len(residue) == 1
            lone += alone
            mass = gemmi.find_tabulated_residue(residue.name).weight if alone else 0.0
            for atom in residue:
                electrons = mass * _ELECTRONS_PER_DALTON or atom.element.atomic_number
                positions.append(atom.pos.tolist())
                weights.append(electrons * atom.occ)
                chains.append(chain.name)
    if not np.isfinite(positions).all() or not sum(weights) > 0:
        raise InputError(
            f"{path} has atoms without coordinates, or none that is occupied; mend or replace it."
        )
    return Structure(
        name=_stem(path),
        positions=frozen_array(positions),
        weights=frozen_array(weights),
        chains=frozen_array(chains, np.str_),
        spread=_RESIDUE_SPREAD if 2 * lone > len(positions) else 0.0,
    )


def chain_subset(structure: Structure, name: str, chains: Sequence[str]) -> Structure:
    """Return the part of `structure` that the given chains make up, under a name of its own.

    Raises
    ------
    InputError
        If `structure` lacks one of the chains.
    """
    missing = sorted(set(chains) - set(structure.chains.tolist()))
    if missing or not chains:
        what = f"chain {missing[0]}" if missing else "no chain"
        raise InputError(
            f"Subset {name} names {what}, which {structure.name} does not have; "
            "use the author's chain names (auth_asym_id)."
        )
    kept = np.isin(structure.chains, list(chains))
    return replace(
        structure,
        name=name,
        positions=frozen_array(structure.positions[kept]),
        weights=frozen_array(structure.weights[kept]),
        chains=frozen_array(structure.chains[kept], np.str_),
    )


def read_subsets(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read named subsets of a structure from JSON: ``{"40S": ["SA0", "SB0"], …}``.

    Raises
    ------
    InputError
        If the file is missing or is not such a mapping.
    """
    try:
        groups = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}; check the path.") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON; write {_SUBSETS_EXAMPLE}.") from error
    if not isinstance(groups, dict) or not groups or not all(map(_are_chains, groups.values())):
        raise InputError(f"{path} does not map names to lists of chains; write {_SUBSETS_EXAMPLE}.")
    return {name: tuple(chains) for name, chains in groups.items()}


def trace_backbone(source: Path) -> bytes:
    """Return a coarse model of a structure as gzipped mmCIF.

    It holds the P of each nucleotide and the CA of each amino acid, at positions rounded to 0.1 Å.
    The same `source` gives the same bytes.
    """
    structure = _parse(source)
    document = gemmi.cif.Document()
    block = document.add_new_block(structure.name or _stem(source))
    fields = (
        "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
        "label_seq_id Cartn_x Cartn_y Cartn_z auth_asym_id"
    )
    loop = block.init_loop("_atom_site.", fields.split())
    for chain in structure[0]:
        for residue in chain:
            for atom in residue:
                if atom.name in _TRACE_ATOMS and len(residue) > 1:
                    row = ["ATOM", str(loop.length() + 1), atom.element.name, atom.name, "."]
                    row += [residue.name, chain.name, str(residue.seqid.num)]
                    row += [f"{coordinate:.1f}" for coordinate in atom.pos.tolist()]
                    loop.add_row([*row, chain.name])
    return gzip.compress(document.as_string().encode(), mtime=0)


_SUBSETS_EXAMPLE = '{"40S": ["SA0", "SB0"], "60S": ["LA0"]}'


def _are_chains(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(chain, str) for chain in value)


def _parse(path: Path) -> gemmi.Structure:
    """Return the parsed file; content decides what it is, never the name."""
    try:
        text = _unpack(path.read_bytes()).decode("utf-8", errors="replace")
    except (EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{path} is damaged: it cannot be unpacked; fetch it again.") from error
    except OSError as error:
        reason = error.strerror or "it cannot be unpacked"
        raise InputError(f"Cannot read {path}: {reason}; check the file.") from error
    try:
        if _looks_like_cif(text):
            block = gemmi.cif.read_string(text).sole_block()
            structure = gemmi.make_structure_from_block(block)
        else:
            structure = gemmi.read_pdb_string(text)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} is not a structure that can be read ({error}); give an mmCIF or PDB file."
        ) from error
    structure.remove_waters()
    if not len(structure) or not structure[0].count_atom_sites():
        raise InputError(f"{path} holds no atoms; give an mmCIF or PDB file.")
    return structure


def _unpack(content: bytes) -> bytes:
    if content.startswith(b"\x1f\x8b"):
        return gzip.decompress(content)
    if content.startswith(b"BZh"):
        return bz2.decompress(content)
    return content


def _looks_like_cif(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    return first.lower().startswith("data_")


def _stem(path: Path) -> str:
    return path.name.split(".")[0]
