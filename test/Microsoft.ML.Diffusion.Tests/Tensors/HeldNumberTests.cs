using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.Metadata.Ecma335;
using TorchSharp;

namespace Microsoft.ML.Diffusion.Tests;

/// <summary>Numbers that libtorch reads must be held: TorchSharp does not hold those that it makes itself.</summary>
[TestClass]
public sealed class HeldNumberTests
{
    [TestMethod]
    public void ItsOperatorsAreThoseOfNumbers()
    {
        using var scope = NewDisposeScope();
        using Tensor x = tensor(new[] { 1f, -2f, 4f });
        Check([3, 0, 6], x + HeldNumber.Held(2), HeldNumber.Held(2.0) + x);
        Check([0.5f, -2.5f, 3.5f], x - HeldNumber.Held(0.5));
        Check([-0.5f, 2.5f, -3.5f], HeldNumber.Held(0.5) - x);
        Check([3, -6, 12], x * HeldNumber.Held(3), HeldNumber.Held(3.0) * x);
        Check([0.25f, -0.5f, 1], x / HeldNumber.Held(4));
        Check([2, -4, 8], x.Plus(x));
        Check([1, 4, 16], x.Squared());
        Check([1, -1, 1], x.clamp(HeldNumber.Held(-1), HeldNumber.Held(1)));
        Assert.AreEqual(int64, (tensor(new long[] { 1 }) * HeldNumber.Held(2)).dtype, "a whole number stays one");
        CollectionAssert.AreEqual(new[] { 1f, -2f, 4f }, x.data<float>().ToArray());

        static void Check(float[] want, params Tensor[] got)
        {
            foreach (Tensor tensor in got)
                CollectionAssert.AreEqual(want, tensor.data<float>().ToArray());
        }
    }

    [TestMethod]
    public void ManyAreMadeAndNoneIsMixedUp()
    {
        using var scope = NewDisposeScope();
        Parallel.For(0, 8, thread =>
        {
            for (int i = 0; i < 200; i++)
            {
                using Tensor x = full(3, HeldNumber.Held(thread)), y = x.add(HeldNumber.Held(1000.0 * i));
                Assert.AreEqual(1000f * i + thread, y[1].item<float>());
            }
        });
    }

    /// <summary>What a compiler writes for <c>x * 2</c> or <c>x.mul(2)</c> is not in the library.</summary>
    [TestMethod]
    public unsafe void TheLibraryHandsOverNoOthers()
    {
        Module library = typeof(DdpmTrainer).Module;
        Assert.IsTrue(library.Assembly.TryGetRawMetadata(out byte* blob, out int length));
        int references = new MetadataReader(blob, length).GetTableRowCount(TableIndex.MemberRef);
        MethodInfo[] called = [.. Enumerable.Range(1, references).Select(row => Resolve(0x0A00_0000 | row)).OfType<MethodInfo>()];
        Assert.IsTrue(called.Any(method => method.DeclaringType == typeof(Tensor) && method.Name == "mul"), "calls of tensors are found");

        IEnumerable<string> notHeld = called
            .Where(method => (method.DeclaringType == typeof(Scalar) && method.Name == "op_Implicit") || (method.DeclaringType == typeof(Tensor) && MakesANumber(method)))
            .Select(method => $"{method.DeclaringType!.Name}: {method}");
        Assert.AreEqual("", string.Join(", ", notHeld));

        // x + y and add(y) add y times a number, square() is pow(2).
        static bool MakesANumber(MethodInfo method) => method.Name switch
        {
            "op_Addition" or "square" => true,
            "add" or "add_" => method.GetParameters().Length == 1,
            _ => method.Name.StartsWith("op_", StringComparison.Ordinal) && method.GetParameters().Any(parameter => parameter.ParameterType.IsPrimitive),
        };

        MemberInfo? Resolve(int token)
        {
            try
            {
                return library.ResolveMember(token);
            }
            catch (Exception e) when (e is ArgumentException or BadImageFormatException)
            {
                // Of a generic type's members only the method that calls them knows the arguments.
                return null;
            }
        }
    }
}
