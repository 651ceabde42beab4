// Tests draw their randomness from generators of their own, so that they can run side by side.
[assembly: Parallelize(Scope = ExecutionScope.ClassLevel)]
