"""Which array of an archive is what: the names that people give to the parts of a PCA model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

GROUPS = ("identity", "expression", "albedo")
_PREFIXES = {
    "identity": ("identity", "shape", "shp", "id", ""),
    "expression": ("expression", "expr", "exp", "ex"),
    "albedo": ("albedo", "texture", "tex", "colour", "color", "rgb"),
}
_ROLES = {
    "mean": "mean mu average avg avgvec mean_vector template neutral",
    "basis": "basis base components eigenvectors eigvec eigvecs pc pcs pca_basis pcabasis modes",
    "deviations": "standard_deviations standard_deviation std stds stddev sigma sigmas eigstd ev",
    "variances": "eigenvalues eigval eigvals variances variance explained_variance pca_variance pcavariance",
    "singular_values": "singular_values",
    "samples": "n_samples n_training_samples n_samples_seen",
    "noise_variance": "noise_variance noisevariance",
    "unit_names": "names unit_names blendshape_names",
    "unit_coefficients": "unit_coefficients",
}
_SHARED = {
    "faces": "faces triangles tri tris tl trilist triangle_list cells f",
    "uv": "uv uvs uv_coordinates texture_coordinates vt",
    "uv_faces": "uv_faces uv_indices uv_triangles ft",
    "unit": "unit units",
    "landmarks": "landmarks68 landmarks landmark_indices landmark_vertices",
    "mirror": "mirror",
}
_WHOLE = {
    "identity": ("identity", "basis"),
    "expressions": ("expression", "basis"),
    "meanshape": ("identity", "mean"),
    "meantex": ("albedo", "mean"),
}
ROLE_OF = {alias: role for role, aliases in _ROLES.items() for alias in aliases.split()}
_SHARED_OF = {alias: role for role, aliases in _SHARED.items() for alias in aliases.split()}


@dataclass
class Names:
    """The arrays of an archive by what they are.

    Attributes
    ----------
    shared : role to name, of what belongs to no group.
    groups : group, role to name.
    twice : pairs of names that both claim to be the same.
    """

    shared: dict[str, str] = field(default_factory=dict)
    groups: dict[str, dict[str, str]] = field(default_factory=lambda: {group: {} for group in GROUPS})
    twice: list[tuple[str, str]] = field(default_factory=list)

    def _claim(self, table: dict[str, str], role: str, name: str) -> None:
        if role in table:
            self.twice.append((table[role], name))
        table.setdefault(role, name)


def find_names(names: Iterable[str]) -> Names:
    """Sort names by role; case, trailing underscores (scikit-learn's) and separators do not matter."""
    found = Names()
    for name in names:
        plain = name.lower().strip("_").replace(".", "_").replace("/", "_").replace("-", "_")
        if plain in _SHARED_OF:
            found._claim(found.shared, _SHARED_OF[plain], name)
        elif (place := _place(plain)) is not None:
            found._claim(found.groups[place[0]], place[1], name)
    return found


def _place(plain: str) -> tuple[str, str] | None:
    """Return group and role of a name."""
    if plain in _WHOLE:
        return _WHOLE[plain]
    for group in ("expression", "albedo", "identity"):
        for prefix in _PREFIXES[group]:
            rest = plain.removeprefix(prefix).lstrip("_")
            if plain.startswith(prefix) and rest in ROLE_OF:
                return group, ROLE_OF[rest]
    return None
