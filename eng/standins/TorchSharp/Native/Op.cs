using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using static TorchSharp.Native.Bridge;

namespace TorchSharp.Native;

/// <summary>An ATen operator, named by its schema and overload; looked up when it is first called.</summary>
internal sealed unsafe class Op(string name, string overload = "")
{
    private nint _handle;
    private bool _missing;

    /// <summary>Whether this libtorch has it. Asked once: libtorch makes a text of its stack for a no.</summary>
    public bool Exists => _handle != 0 || (!_missing && !(_missing = (_handle = tss_find_op("aten::" + name, overload)) == 0));

    public torch.Tensor Call(params ReadOnlySpan<Arg> args)
    {
        Invoke(args, 1, out var r);
        return Take(r[0]);
    }

    /// <summary>An operator that changes its first argument and returns it.</summary>
    public torch.Tensor On(torch.Tensor self, params ReadOnlySpan<Arg> rest)
    {
        var buffer = new ArgBuffer();
        Span<Arg> args = buffer;
        args[0] = self;
        rest.CopyTo(args[1..]);
        Invoke(args[..(rest.Length + 1)], 1, out var r);
        tss_release((nint)r[0].Bits);
        return self;
    }

    public (torch.Tensor, torch.Tensor) Call2(params ReadOnlySpan<Arg> args)
    {
        Invoke(args, 2, out var r);
        return (Take(r[0]), Take(r[1]));
    }

    public bool CallBool(params ReadOnlySpan<Arg> args)
    {
        Invoke(args, 1, out var r);
        return r[0].Bits != 0;
    }

    /// <summary>The result's handle, for the caller to own.</summary>
    public nint CallRaw(params ReadOnlySpan<Arg> args)
    {
        Invoke(args, 1, out var r);
        return (nint)r[0].Bits;
    }

    /// <summary>A scalar result: its kind and bits.</summary>
    public NativeArg CallScalar(params ReadOnlySpan<Arg> args)
    {
        Invoke(args, 1, out var r);
        return r[0];
    }

    private static torch.Tensor Take(NativeArg r) => r.Bits == 0 ? null : new torch.Tensor((nint)r.Bits);

    [SkipLocalsInit]
    private int Invoke(ReadOnlySpan<Arg> args, int expected, out NativeArg* results)
    {
        if (!Exists) throw new ExternalException($"This libtorch has no operator aten::{name} {overload}".TrimEnd() + ".");
        long room = 0;
        foreach (ref readonly var a in args)
            if (a.Object is Array) room += a.Bits;
            else if (a.Object is string s) room += s.Length * 3 / sizeof(long) + 1;

        // Tensors can come in thousands; sizes and names cannot.
        long* near = stackalloc long[64];
        long* lists = room <= 64 ? near : (long*)NativeMemory.Alloc((nuint)room * sizeof(long));
        long* free = lists;
        NativeArg* native = stackalloc NativeArg[args.Length];
        for (int i = 0; i < args.Length; i++)
        {
            ref readonly var a = ref args[i];
            ref var n = ref native[i];
            n.Kind = a.Kind;
            n.Bits = a.Bits;
            switch (a.Kind)
            {
                case Kind.IntList:
                    ((long[])a.Object).CopyTo(new Span<long>(free, (int)a.Bits));
                    break;
                case Kind.DoubleList:
                    ((double[])a.Object).CopyTo(new Span<double>(free, (int)a.Bits));
                    break;
                case Kind.TensorList or Kind.OptionalTensorList:
                    var tensors = (torch.Tensor[])a.Object;
                    for (int k = 0; k < tensors.Length; k++) free[k] = tensors[k] is null ? 0 : tensors[k].Handle;
                    break;
                case Kind.String:
                    var text = (string)a.Object;
                    n.Count = Encoding.UTF8.GetBytes(text, new Span<byte>(free, text.Length * 3));
                    n.Bits = (long)free;
                    free += text.Length * 3 / sizeof(long) + 1;
                    continue;
                default:
                    continue;
            }
            n.Count = (int)a.Bits;
            n.Bits = (long)free;
            free += a.Bits;
        }
        NativeArg* r;
        int count = tss_call(_handle, native, args.Length, &r);
        if (room > 64) NativeMemory.Free(lists);
        results = r;
        if (count < 0) throw Failure();
        if (expected >= 0 && count < expected) throw new InvalidOperationException($"{name} gave {count} results, {expected} expected.");
        return count;
    }

    [InlineArray(16)]
    private struct ArgBuffer
    {
        private Arg _first;
    }
}
