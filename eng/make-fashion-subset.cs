// Makes samples/Garments/data: the first 200 images of each class of Fashion-MNIST's training set, in their own order.
// Usage, from the repository's root: dotnet run eng/make-fashion-subset.cs [FOLDER OF THE FULL SET] [TARGET FOLDER]
#:property PublishAot=false

using System.Buffers.Binary;
using System.IO.Compression;

const int PerClass = 200, Classes = 10, Side = 28;
string from = args.ElementAtOrDefault(0) ?? "/usr/share/datasets/fashion-mnist";
string to = args.ElementAtOrDefault(1) ?? "samples/Garments/data";

byte[] images = Read("train-images-idx3-ubyte.gz")[16..];
byte[] labels = Read("train-labels-idx1-ubyte.gz")[8..];
var counts = new int[Classes];
int[] chosen = [.. Enumerable.Range(0, labels.Length).Where(i => counts[labels[i]]++ < PerClass)];

Directory.CreateDirectory(to);
Write("images-idx3-ubyte.gz", [0x0803, chosen.Length, Side, Side], chosen.SelectMany(i => images.Skip(i * Side * Side).Take(Side * Side)));
Write("labels-idx1-ubyte.gz", [0x0801, chosen.Length], chosen.Select(i => labels[i]));
Console.WriteLine($"{chosen.Length} images, {PerClass} a class, in {to}");

byte[] Read(string name)
{
    using var file = new GZipStream(File.OpenRead(Path.Combine(from, name)), CompressionMode.Decompress);
    using var bytes = new MemoryStream();
    file.CopyTo(bytes);
    return bytes.ToArray();
}

void Write(string name, int[] header, IEnumerable<byte> content)
{
    using var file = new GZipStream(File.Create(Path.Combine(to, name)), CompressionLevel.SmallestSize);
    Span<byte> number = stackalloc byte[4];
    foreach (int value in header)
    {
        BinaryPrimitives.WriteInt32BigEndian(number, value);
        file.Write(number);
    }

    file.Write(content.ToArray());
}
