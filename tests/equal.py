"""Whether two values are the same in every type and bit, NaN and None told apart, in the cells of tables too."""

from dataclasses import is_dataclass

import numpy as np
import pandas as pd

from mdissect.values import Packed, pack, unpack


def there_and_back(value, kinds=None):
    files = pack(value, kinds).to_files()
    return unpack(Packed.from_files(files.__getitem__), kinds)


def same(found, expected) -> bool:
    """Equal in every type too, and NaN equal to NaN."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=True, check_index_type="exact", check_column_type="exact")
        cells = zip(found.items(), expected.items(), strict=True)
        return found.attrs == expected.attrs and all(same(list(a), list(b)) for (_, a), (_, b) in cells if b.dtype == object)
    if isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected, check_exact=True, check_index_type="exact")
        return found.attrs == expected.attrs and (expected.dtype != object or same(list(found), list(expected)))
    if isinstance(expected, pd.Index):
        pd.testing.assert_index_equal(found, expected, exact=True)
        return getattr(found, "freq", None) == getattr(expected, "freq", None)
    if isinstance(expected, np.ndarray):
        if (found.dtype, found.shape, found.flags.fnc) != (expected.dtype, expected.shape, expected.flags.fnc):
            return False
        objects = expected.dtype == object
        return same(found.ravel().tolist(), expected.ravel().tolist()) if objects else found.tobytes() == expected.tobytes()
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(same, found, expected))
    if is_dataclass(expected):
        return same(vars(found), vars(expected))
    if isinstance(expected, dict):
        return same(list(found.items()), list(expected.items()))
    if isinstance(expected, complex):
        return same([found.real, found.imag], [expected.real, expected.imag])
    if isinstance(expected, (float, np.floating)):
        return (np.isnan(found) and np.isnan(expected)) or np.asarray(found).tobytes() == np.asarray(expected).tobytes()
    return found is expected or found == expected
