using Microsoft.ML.Data;
using Microsoft.ML.Transforms.Image;

namespace GarmentServer;

/// <summary>A row that goes in.</summary>
internal sealed class Request
{
    /// <summary>The class, from 0.</summary>
    public uint Label { get; set; }

    public long Seed { get; set; }
}

/// <summary>A row that comes out, as bytes of one channel.</summary>
internal sealed class Grey
{
    public byte[] Image { get; set; } = [];
}

/// <summary>A row that comes out, as a picture.</summary>
internal sealed class Picture
{
    [ImageType]
    public MLImage Image { get; set; } = null!;
}
