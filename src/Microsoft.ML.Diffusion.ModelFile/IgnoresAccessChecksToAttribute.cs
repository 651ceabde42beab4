namespace System.Runtime.CompilerServices;

/// <summary>
/// The runtime lets an assembly that carries this use another one's internals. It knows the attribute by its full name;
/// the base class library has no public definition.
/// </summary>
[AttributeUsage(AttributeTargets.Assembly, AllowMultiple = true)]
internal sealed class IgnoresAccessChecksToAttribute(string assemblyName) : Attribute
{
    /// <summary>The simple name of the other assembly.</summary>
    public string AssemblyName { get; } = assemblyName;
}
