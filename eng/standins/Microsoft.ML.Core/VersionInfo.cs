namespace Microsoft.ML;

internal readonly struct VersionInfo
{
    public readonly ulong ModelSignature;
    public readonly uint VerWrittenCur;
    public readonly uint VerReadableCur;
    public readonly uint VerWeCanReadBack;
    public readonly string LoaderAssemblyName;
    public readonly string LoaderSignature;
    public readonly string LoaderSignatureAlt;

    public VersionInfo(string modelSignature, uint verWrittenCur, uint verReadableCur, uint verWeCanReadBack,
        string loaderAssemblyName, string loaderSignature = null, string loaderSignatureAlt = null)
    {
        Contracts.Check(modelSignature?.Length == 8, "Model signature must be eight characters");
        foreach (char letter in modelSignature.Reverse())
        {
            Contracts.Check(letter <= 0xFF);
            ModelSignature = ModelSignature << 8 | letter;
        }
        VerWrittenCur = verWrittenCur;
        VerReadableCur = verReadableCur;
        VerWeCanReadBack = verWeCanReadBack;
        LoaderAssemblyName = loaderAssemblyName;
        LoaderSignature = loaderSignature;
        LoaderSignatureAlt = loaderSignatureAlt;
    }
}

/// <summary>What a model stream says about itself; written behind the model, pointed at from its first bytes.</summary>
/// <remarks>The layout is this stand-in's own: magic, end of the model, model, then this.</remarks>
internal sealed class ModelHeader
{
    public const int Size = 16;
    private const ulong Magic = 0x4E492D444E415453;
    private const int LongestSignature = 24;

    public ulong ModelSignature;
    public uint VersionWritten;
    public uint VersionReadable;
    public string LoaderAssemblyName = "";
    public string LoaderSignature = "";
    public string LoaderSignatureAlt = "";
    public string[] Strings = [];
    public long ModelEnd;

    public void Set(VersionInfo version)
    {
        Contracts.Check((version.LoaderSignature?.Length ?? 0) <= LongestSignature);
        Contracts.Check((version.LoaderSignatureAlt?.Length ?? 0) <= LongestSignature);
        ModelSignature = version.ModelSignature;
        VersionWritten = version.VerWrittenCur;
        VersionReadable = version.VerReadableCur;
        LoaderAssemblyName = version.LoaderAssemblyName ?? "";
        LoaderSignature = version.LoaderSignature ?? "";
        LoaderSignatureAlt = version.LoaderSignatureAlt ?? "";
    }

    public void Check(VersionInfo version)
    {
        Contracts.CheckDecode(ModelSignature == version.ModelSignature, "Unknown file type");
        Contracts.CheckDecode(VersionReadable <= VersionWritten, "Corrupt file header");
        Contracts.CheckDecode(VersionReadable <= version.VerWrittenCur,
            $"'{version.LoaderSignature}' is too new to be read: it needs version 0x{VersionReadable:x8}, and this is 0x{version.VerWrittenCur:x8}.");
        Contracts.CheckDecode(VersionWritten >= version.VerWeCanReadBack,
            $"'{version.LoaderSignature}' is too old to be read: it was written by version 0x{VersionWritten:x8}, and versions from 0x{version.VerWeCanReadBack:x8} on are read.");
    }

    public void WriteTail(BinaryWriter writer)
    {
        ModelEnd = writer.BaseStream.Position;
        writer.Write(ModelSignature);
        writer.Write(VersionWritten);
        writer.Write(VersionReadable);
        writer.Write(LoaderAssemblyName);
        writer.Write(LoaderSignature);
        writer.Write(LoaderSignatureAlt);
        writer.Write(Strings.Length);
        foreach (string text in Strings)
            writer.Write(text);
        writer.BaseStream.Position = 0;
        writer.Write(Magic);
        writer.Write(ModelEnd);
        writer.BaseStream.Position = writer.BaseStream.Length;
    }

    public static ModelHeader Read(BinaryReader reader)
    {
        Contracts.CheckDecode(reader.BaseStream.Length >= Size && reader.ReadUInt64() == Magic, "Wrong file type");
        var header = new ModelHeader { ModelEnd = reader.ReadInt64() };
        Contracts.CheckDecode(header.ModelEnd >= Size && header.ModelEnd <= reader.BaseStream.Length, "Corrupt file header");
        reader.BaseStream.Position = header.ModelEnd;
        header.ModelSignature = reader.ReadUInt64();
        header.VersionWritten = reader.ReadUInt32();
        header.VersionReadable = reader.ReadUInt32();
        header.LoaderAssemblyName = reader.ReadString();
        header.LoaderSignature = reader.ReadString();
        header.LoaderSignatureAlt = reader.ReadString();
        header.Strings = new string[reader.ReadInt32()];
        for (int i = 0; i < header.Strings.Length; i++)
            header.Strings[i] = reader.ReadString();
        reader.BaseStream.Position = Size;
        return header;
    }
}
