using TorchSharp;
using TorchSharp.Modules;

namespace Microsoft.ML.Diffusion;

/// <summary>Takes a network to a device, and its memory into the order in which that device is quick.</summary>
internal static class NetworkPlacement
{
    /// <summary>
    /// Moves a network. On a GPU images and weights lie in planes: libtorch's norms there read nothing else, and turning every activation around costs more than convolutions win.
    /// </summary>
    /// <param name="network">The network; its parameters become other objects.</param>
    /// <param name="device">Where to.</param>
    public static void Move(nn.Module network, Device device)
    {
        network.to(device);
        if (device.type == DeviceType.CPU)
            return;
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        foreach (Parameter parameter in network.parameters())
        {
            if (!parameter.is_contiguous())
                parameter.set_(parameter.contiguous());
        }
    }
}
