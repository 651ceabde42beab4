using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Microsoft.ML.Diffusion;

/// <summary>
/// Writes machine code for x64: the instructions that some kernels need and .NET 10 has no intrinsics for. A routine is a function of C's calling convention on Linux that
/// changes no register which a caller keeps. Its first argument, in rdi, points to a structure of which it reads fields by their names.
/// </summary>
/// <param name="offsetOf">Where a field of the structure lies, in bytes.</param>
internal abstract class MachineCode(Func<string, nint> offsetOf)
{
    protected const int Rax = 0;
    protected const int Rcx = 1;
    protected const int Rdx = 2;
    protected const int Rbx = 3;
    protected const int Rsi = 6;
    protected const int Rdi = 7;
    protected const int R8 = 8;
    protected const int R9 = 9;
    protected const int R10 = 10;
    protected const int R11 = 11;
    protected const int R12 = 12;

    private readonly List<byte> _bytes = [];

    /// <summary>Whether the routines and the kernels around them can run: Linux on x64, and registers of 512 bits, with which CPUID has a leaf 7.</summary>
    public static bool Runs => OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture == Architecture.X64 && Vector512.IsHardwareAccelerated;

    /// <summary>The code.</summary>
    public byte[] Bytes => [.. _bytes];

    /// <summary>Where the next instruction goes.</summary>
    protected int Here => _bytes.Count;

    /// <summary>Begins a routine at a whole number of 16 bytes.</summary>
    /// <returns>Where.</returns>
    protected int Begin()
    {
        while (_bytes.Count % 16 != 0)
            Emit(0x90);                        // nop
        return _bytes.Count;
    }

    protected void Emit(params ReadOnlySpan<byte> bytes) => _bytes.AddRange(bytes);

    // REX.W 8B /r: mov from a field of the product that rdi points to.
    protected void Load(int register, string field) => Emit(Rex(register, Rdi), 0x8B, (byte)(0x40 | (register & 7) << 3 | Rdi), Field(field));

    // REX.W 03 /r: add the field.
    protected void Add(int register, string field) => Emit(Rex(register, Rdi), 0x03, (byte)(0x40 | (register & 7) << 3 | Rdi), Field(field));

    // REX.W 8B /r: mov between registers.
    protected void Move(int to, int from) => Emit(Rex(to, from), 0x8B, (byte)(0xC0 | (to & 7) << 3 | (from & 7)));

    // REX.W 03 /r: add between registers.
    protected void Add(int to, int from) => Emit(Rex(to, from), 0x03, (byte)(0xC0 | (to & 7) << 3 | (from & 7)));

    // REX.W 83 /7 ib: cmp with 0.
    protected void CompareWithZero(string field) => Emit(0x48, 0x83, 0x7F, Field(field), 0);

    // 50 + r: push.
    protected void Push(int register)
    {
        if (register >= R8)
            Emit(0x41);
        Emit((byte)(0x50 | (register & 7)));
    }

    // 58 + r: pop.
    protected void Pop(int register)
    {
        if (register >= R8)
            Emit(0x41);
        Emit((byte)(0x58 | (register & 7)));
    }

    protected void Return() => Emit(0xC3);

    /// <summary>Jumps forward.</summary>
    /// <returns>For <see cref="LandHere"/>.</returns>
    protected int Jump()
    {
        Emit(0xE9, 0, 0, 0, 0);
        return _bytes.Count;
    }

    /// <inheritdoc cref="Jump"/>
    protected int JumpIfEqual()
    {
        Emit(0x0F, 0x84, 0, 0, 0, 0);
        return _bytes.Count;
    }

    protected void LandHere(int jump) => SetTarget(jump, Here);

    protected void JumpBackUnlessZero(int target)
    {
        Emit(0x0F, 0x85, 0, 0, 0, 0);
        SetTarget(Here, target);
    }

    /// <summary>Writes the distance of a jump into its last four bytes.</summary>
    private void SetTarget(int jump, int target) => BitConverter.TryWriteBytes(CollectionsMarshal.AsSpan(_bytes)[(jump - sizeof(int))..], target - jump);

    private static byte Rex(int register, int origin) => (byte)(0x48 | (register < 8 ? 0 : 4) | (origin < 8 ? 0 : 1));

    private byte Field(string name) => checked((byte)(sbyte)offsetOf(name));
}
