using System.Runtime.CompilerServices;
using Microsoft.ML;
using Microsoft.ML.Diffusion;
using Microsoft.ML.Runtime;

[assembly: IgnoresAccessChecksTo("Microsoft.ML.Core")]
[assembly: LoadableClass(typeof(ITransformer), typeof(DdpmLoader), null, typeof(SignatureLoadModel), "DDPM image generator", ModelFile.LoadName)]

namespace Microsoft.ML.Diffusion;

/// <summary>
/// What ML.NET calls when it meets our transformer in a model file: it loads this assembly by the name in the file,
/// finds the attribute above, and looks for a static Create that returns exactly ITransformer.
/// </summary>
internal static class DdpmLoader
{
    // By name, because the library references this assembly and not the other way round.
    private const string Library = "Microsoft.ML.Diffusion";
    private const string LoaderType = "Microsoft.ML.Diffusion.DdpmModelLoader";

    private static ITransformer Create(IHostEnvironment env, ModelLoadContext ctx)
    {
        ctx.CheckAtModel(ModelFile.Version);
        return (ITransformer)Load(env, (name, read) => ctx.TryLoadBinaryStream(name, reader => read(reader.BaseStream)));
    }

    // Resolved once: a delegate, so that exceptions of the library pass through as they are.
    private static Func<object, Func<string, Action<Stream>, bool>, object> Load => s_load ??= Resolve();

    private static Func<object, Func<string, Action<Stream>, bool>, object>? s_load;

    private static Func<object, Func<string, Action<Stream>, bool>, object> Resolve()
    {
        var type = Type.GetType($"{LoaderType}, {Library}", throwOnError: false)
            ?? throw new InvalidOperationException($"The model holds a diffusion model, and the assembly {Library} that reads it is not there or is of another version; "
                + "reference the package Microsoft.ML.Diffusion that this Microsoft.ML.Diffusion.ModelFile.dll came with.");
        return (Func<object, Func<string, Action<Stream>, bool>, object>)Delegate.CreateDelegate(
            typeof(Func<object, Func<string, Action<Stream>, bool>, object>), type, "Load");
    }
}
