"""What the oldest torch that this project allows (see pyproject.toml) has under another name, or lacks."""

import torch

OutOfMemoryError = torch.cuda.OutOfMemoryError  # of every device; torch.OutOfMemoryError is its name from 2.5 on
is_compiling = getattr(torch.compiler, "is_compiling", lambda: False)  # from 2.3 on
