using System.Reflection;
using TorchSharp.Modules;

namespace TorchSharp;

public static partial class torch
{
    public static partial class nn
    {
        /// <summary>Changing device and type, which replaces the Parameter objects.</summary>
        public partial class Module
        {
            protected internal virtual Module _to(Device device, ScalarType dtype, bool non_blocking)
            {
                CheckFloating(dtype);
                if (device.type != DeviceType.CUDA) device = new Device(device.type, -1);
                CheckCuda(device.type);
                _toEpilog(device, dtype, non_blocking);
                return this;
            }

            protected internal virtual Module _to(DeviceType deviceType, int deviceIndex, bool non_blocking)
            {
                if (deviceType != DeviceType.CUDA) deviceIndex = -1;
                CheckCuda(deviceType);
                if (deviceType != _deviceType || deviceIndex != _deviceIndex) _toEpilog(deviceType, deviceIndex, non_blocking);
                return this;
            }

            protected internal virtual Module _to(ScalarType dtype, bool non_blocking)
            {
                CheckFloating(dtype);
                _toEpilog(dtype, non_blocking);
                return this;
            }

            private static void CheckFloating(ScalarType dtype)
            {
                if (!is_floating_point(dtype) && !is_complex(dtype))
                    throw new ArgumentException($"nn.Module.to only accepts floating point or complex types, but got desired dtype={dtype}");
            }

            private static void CheckCuda(DeviceType type)
            {
                if (type == DeviceType.CUDA && !cuda.is_available()) throw new InvalidOperationException("CUDA is not available.");
            }

            protected void _toEpilog(ScalarType dtype, bool non_blocking) => _toEpilog(dtype, null, non_blocking);

            protected void _toEpilog(Device device, ScalarType dtype, bool non_blocking) => _toEpilog((ScalarType?)dtype, device, non_blocking);

            protected void _toEpilog(DeviceType deviceType, int deviceIndex, bool non_blocking) => _toEpilog(null, new Device(deviceType, deviceIndex), non_blocking);

            protected virtual void _toEpilog(ScalarType? dtype, Device device, bool non_blocking)
            {
                foreach (var (_, child) in named_children())
                {
                    if (device is null) child._to(dtype.Value, non_blocking);
                    else if (dtype is null) child._to(device.type, device.index, non_blocking);
                    else child._to(device, dtype.Value, non_blocking);
                }
                var fields = Fields().ToDictionary(f => f.ComponentName());
                var properties = GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance).ToDictionary(p => p.Name);

                foreach (var (component, parameter) in named_parameters(false).ToList())
                {
                    if (!ReplaceParameter(dtype, device, parameter, out var moved)) continue;
                    if (properties.TryGetValue(component, out var property)) property.SetValue(this, moved);
                    else
                    {
                        parameter.Dispose();
                        ConditionallyRegisterParameter(component, moved);
                        if (fields.TryGetValue(component, out var field)) field.SetValue(this, moved);
                    }
                }
                foreach (var (component, buffer) in named_buffers(false).ToList())
                {
                    if (!ReplaceBuffer(dtype, device, buffer, out var moved)) continue;
                    if (properties.TryGetValue(component, out var property)) property.SetValue(this, moved);
                    else
                    {
                        ConditionallyRegisterBuffer(component, moved);
                        if (fields.TryGetValue(component, out var field)) field.SetValue(this, moved);
                    }
                }
                if (device is not null) (_deviceType, _deviceIndex) = (device.type, device.index);
            }

            private static ScalarType Target(ScalarType? dtype, Tensor t) => dtype.HasValue && (t.is_floating_point() || t.is_complex()) ? dtype.Value : t.dtype;

            protected static bool ReplaceBuffer(ScalarType? dtype, Device device, Tensor buffer, out Tensor result)
            {
                result = null;
                if (!buffer.toWillCopy(dtype ?? buffer.dtype, device ?? buffer.device)) return false;
                result = buffer.to(Target(dtype, buffer), device ?? buffer.device, disposeAfter: true).DetachFromDisposeScope();
                return true;
            }

            /// <summary>The new parameter is a leaf outside every scope; a gradient moves along.</summary>
            protected static bool ReplaceParameter(ScalarType? dtype, Device device, Parameter param, out Parameter p)
            {
                p = null;
                using var grad = param.grad;
                if (!param.toWillCopy(dtype ?? param.dtype, device ?? param.device) && grad?.toWillCopy(dtype ?? param.dtype, device ?? param.device) != true) return false;
                using var _ = no_grad();
                p = new Parameter(param.to(Target(dtype, param), device ?? param.device), param.requires_grad);
                p.DetachFromDisposeScope();
                if (grad is null) return true;
                using var moved = grad.to(Target(dtype, param), device ?? param.device).with_requires_grad(grad.requires_grad);
                p.grad = moved;
                return true;
            }
        }
    }
}

public static class ModuleExtensionMethods
{
    public static T to<T>(this T module, torch.ScalarType type, bool non_blocking = false) where T : torch.nn.Module => (T)module._to(type, non_blocking);
    public static T to<T>(this T module, torch.Device device, bool non_blocking = false) where T : torch.nn.Module => (T)module._to(device.type, device.index, non_blocking);
}

public static class FieldInfoExtensionMethods
{
    public static string ComponentName(this FieldInfo field) => field.GetCustomAttribute<Utils.ComponentNameAttribute>()?.Name ?? field.Name;
}
