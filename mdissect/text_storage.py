"""Text in tables is kept as Python's strings, whether or not pyarrow is installed; importing this sees to it.

pandas 3 keeps text in pyarrow's memory as soon as that is installed (Ray Data brings it). Then a name that is not UTF-8, such
as that of a file from an old disk, is an error, and the types of columns differ between two machines. Therefore pandas' option
"mode.string_storage" is set to "python" for the process, unless the user has set it.
"""

import pandas as pd

OPTION = "mode.string_storage"

if pd.get_option(OPTION) == "auto":
    pd.set_option(OPTION, "python")
